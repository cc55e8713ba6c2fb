"""Episodes on a server: identifiers, live episodes, and what is stored of them."""
