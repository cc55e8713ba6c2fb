// Names for what the theme leaves without one: its search, and the buttons of each piece of code.
document$.subscribe(() => {
  document.querySelector('.md-search')?.setAttribute('aria-label', 'Search');
  new MutationObserver(() => {
    const all = document.querySelectorAll('.md-code__nav');
    all.forEach((nav, at) => nav.setAttribute('aria-label', `Code ${at + 1}`));
  }).observe(document.body, { childList: true, subtree: true });
});
