// Script of the Leaderboard tab: links the players whose rollouts the Runs tab lists.
(async () => {
  const names = [...element.querySelectorAll('[data-runs]')];
  if (!names.length) return;
  const response = await fetch(new URL('runs/list', document.baseURI.split(/[?#]/)[0])).catch(() => null);
  if (!response || !response.ok) return;
  const { environment, rollouts } = await response.json();
  const players = new Set(rollouts.filter((each) => !each.environment || each.environment === environment).map(({ player }) => player));
  names.filter(({ textContent }) => players.has(textContent)).forEach((name) => {
    const link = Object.assign(document.createElement('a'), { href: name.dataset.runs, textContent: name.textContent, title: 'Show its rollouts' });
    name.replaceWith(link);
  });
})();
