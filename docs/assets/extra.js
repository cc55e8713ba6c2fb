// Names for what the theme leaves without one, or gives one name to several of: search and menus.
function nameAll() {
  document.querySelector('.md-search')?.setAttribute('aria-label', 'Search');
  const named = new Map();
  document.querySelectorAll('nav').forEach((nav) => {
    const name = nav.dataset.name ??= nav.getAttribute('aria-label') || 'Code';
    // Names that differ in their capitals alone are one to who hears them.
    const times = (named.get(name.toLowerCase()) || 0) + 1;
    named.set(name.toLowerCase(), times);
    nav.setAttribute('aria-label', times > 1 ? `${name} ${times}` : name);
  });
}
document$.subscribe(nameAll);
new MutationObserver(nameAll).observe(document.body, { childList: true, subtree: true });
