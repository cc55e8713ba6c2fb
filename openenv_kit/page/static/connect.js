// Script of the Connect tab: puts this server's address into the snippets, and copies them.
const EXAMPLE_ADDRESS = 'http://localhost:8000';
// The page of an environment is below its address: https://example.com/lab/firewatch/web/.
const ownAddress = (location.origin + location.pathname).replace(/\/web\/?$/, '');
element.querySelectorAll('.mt-snippet code').forEach((code) => {
  code.textContent = code.textContent.replaceAll(EXAMPLE_ADDRESS, ownAddress);
});
element.addEventListener('click', async ({ target }) => {
  if (target.dataset.copy === undefined) return;
  const code = target.closest('.mt-snippet').querySelector('code');
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    // Without HTTPS, browsers do not let pages write to the clipboard: select the text instead.
    getSelection().selectAllChildren(code);
    target.textContent = 'Selected: press Ctrl+C';
    return;
  }
  target.textContent = 'Copied';
  setTimeout(() => { target.textContent = 'Copy'; }, 1500);
});
