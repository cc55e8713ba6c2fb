"""The simulated system: services, pods, clients, time and its history."""
