// Means, standard errors and paired differences of scores. Several rollouts of one task count as one
// value, their mean, because they are not independent of each other.
const MAX_COMPARED_PLAYERS = 4;

export function meanScores(rollouts, levels) {
  return playersOf(rollouts).map((player) => {
    const own = rollouts.filter((rollout) => rollout.player === player);
    return {
      player,
      all: meanOver(own),
      byLevel: levels.map((level) => meanOver(own.filter((rollout) => rollout.level === level))),
    };
  });
}

// Returns the differences between the players with the most rollouts, on their common tasks.
export function pairedDifferences(rollouts) {
  const players = playersOf(rollouts).slice(0, MAX_COMPARED_PLAYERS);
  const scores = players.map((player) => scoresByTask(rollouts.filter((rollout) => rollout.player === player)));
  const pairs = [];
  players.forEach((first, a) => players.slice(a + 1).forEach((second, offset) => {
    const others = scores[a + 1 + offset];
    const differences = [...scores[a]].filter(([task]) => others.has(task)).map(([task, score]) => score - others.get(task));
    if (differences.length) pairs.push({ first, second, mean: mean(differences), error: standardError(differences), tasks: differences.length });
  }));
  return pairs;
}

function playersOf(rollouts) {
  const counts = new Map();
  rollouts.forEach(({ player }) => counts.set(player, (counts.get(player) || 0) + 1));
  return [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).map(([player]) => player);
}

function scoresByTask(rollouts) {
  const scores = new Map();
  rollouts.filter((rollout) => rollout.score !== null).forEach(({ episode, score }) => {
    scores.set(episode, [...(scores.get(episode) || []), score]);
  });
  return new Map([...scores].map(([task, values]) => [task, mean(values)]));
}

function meanOver(rollouts) {
  const values = [...scoresByTask(rollouts).values()];
  const count = rollouts.filter((rollout) => rollout.score !== null).length;
  return { mean: values.length ? mean(values) : null, error: standardError(values), count };
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

export function standardError(values) {
  if (values.length < 2) return null;
  const middle = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1) / values.length);
}
