// Names for what the theme leaves without one, or gives one name to several of: search and menus.
function nameAll() {
  document.querySelector('.md-search')?.setAttribute('aria-label', 'Search');
  const named = new Map();
  document.querySelectorAll('nav').forEach((nav) => {
    const name = nav.dataset.name ??= nav.getAttribute('aria-label') || 'Code';
    named.set(name, (named.get(name) || 0) + 1);
    nav.setAttribute('aria-label', named.get(name) > 1 ? `${name} ${named.get(name)}` : name);
  });
}
document$.subscribe(nameAll);
new MutationObserver(nameAll).observe(document.body, { childList: true, subtree: true });
