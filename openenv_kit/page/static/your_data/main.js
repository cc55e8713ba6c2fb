// The tab "Your data": sends a table to the server, and shows the check, the progress and the
// product. Names, options and keys are sent in headers, because addresses are logged.
const MAX_BYTES = 20_000_000;
const STEPS = ['upload', 'check', 'product'];

export function start(root) {
  root?.querySelector('[name=copy]')?.addEventListener('click', copyCommands);
  if (root?.querySelector('[name=table]')) new YourData(root).listen();
}

async function copyCommands({ target }) {
  const code = target.closest('.mt-snippet').querySelector('code');
  try {
    await navigator.clipboard.writeText(code.textContent);
    target.textContent = 'Copied';
  } catch {
    // Without HTTPS, browsers do not let pages write to the clipboard: select the text instead.
    getSelection().selectAllChildren(code);
    target.textContent = 'Selected: press Ctrl+C';
  }
}

class YourData {
  constructor(root) {
    Object.assign(this, { root, file: null, key: '', isBusy: false });
    this.find = (selector) => root.querySelector(selector);
    this.step = (name) => this.find(`[data-step=${name}]`);
  }

  listen() {
    const drop = this.find('.mt-own-drop');
    const input = this.find('[name=table]');
    input.addEventListener('change', () => this.choose(input.files[0]));
    ['dragover', 'dragleave', 'drop'].forEach((kind) => drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle('over', kind === 'dragover');
      if (kind === 'drop') this.choose(event.dataTransfer.files[0]);
    }));
    this.find('[name=check]').addEventListener('click', () => this.check());
    this.find('[name=import]').addEventListener('click', () => this.import());
    this.find('[name=discard]').addEventListener('click', () => this.discard());
    this.find('.mt-own-options').addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && this.file) this.check();
    });
    this.root.addEventListener('click', ({ target }) => {
      if (target.dataset.file) this.download(target.dataset.file);
    });
  }

  choose(file) {
    if (!file || this.isBusy) return;
    if (this.key) this.send('discard', {});
    Object.assign(this, { file, key: '' });
    this.find('.mt-own-drop b').textContent = file.name;
    this.find('.mt-own-drop span').textContent = `${formatSize(file.size)}. Click to choose another one.`;
    this.find('[name=discard]').hidden = true;
    this.step('upload').append(this.find('.mt-own-running'));
    this.showProblem('');
    if (file.size > MAX_BYTES) this.showText('The file has more than 20 MB. Aggregate it by day or hour, or use metric-tracker import.');
    this.find('[name=check]').disabled = file.size > MAX_BYTES;
    if (file.size <= MAX_BYTES) this.check();
  }

  options() {
    const quoted = (text) => `'${text.trim().replaceAll("'", "'\\''")}'`;
    const named = ['stages', 'country'].filter((name) => this.find(`[name=${name}]`).value.trim())
      .map((name) => `--${name}=${quoted(this.find(`[name=${name}]`).value)}`);
    return [...named, this.find('[name=options]').value].join(' ').trim();
  }

  async check() {
    const headers = { 'x-table-options': this.options() };
    if (this.key) headers['x-table-key'] = this.key;
    else headers['x-table-name'] = this.file.name;
    const body = this.key ? null : this.file;
    const result = await this.run('check', headers, body, 'Reading the table …');
    if (!result) return;
    this.find('[name=discard]').hidden = false;
    this.show('check', result.html);
  }

  async import() {
    const result = await this.run('import', {}, null, 'Fitting the table …');
    if (result) this.show('product', result.html);
  }

  // Sends a request, follows its progress, and returns the result, or null after a refusal.
  async run(path, headers, body, text) {
    if (this.isBusy) return null;
    // The progress is shown below the button that was pressed.
    this.step(path === 'check' ? 'upload' : 'check').append(this.find('.mt-own-running'));
    this.setBusy(text);
    this.find('.mt-own-running').scrollIntoView({ block: 'nearest' });
    this.hideAfter(path === 'check' ? 'upload' : 'check');
    let result = { refused: '' };
    try {
      const response = await this.send(path, headers, body);
      if (!response.ok) throw new Error(await detailOf(response));
      result = await this.follow(response);
    } catch (problem) {
      this.showText(problem.message);
    }
    this.setBusy('');
    this.key = result.key || this.key;
    if (result.refused) this.showProblem(result.refused);
    return result.html ? result : null;
  }

  async follow(response) {
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let text = '';
    let last = null;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (text + decoder.decode(value, { stream: true })).split('\n');
      text = lines.pop();
      lines.forEach((line) => {
        last = JSON.parse(line);
        if (last.total) this.showProgress(last.done, last.total);
      });
    }
    if (!last?.html && !last?.refused) throw new Error('The connection was closed before the import finished. Try again.');
    return last;
  }

  send(path, headers, body = null) {
    const encoded = Object.fromEntries(Object.entries({ 'x-table-key': this.key, ...headers })
      .map(([name, value]) => [name, encodeURIComponent(value)]));
    const type = body ? { 'content-type': 'application/octet-stream' } : {};
    const address = new URL(`own-data/${path}`, document.baseURI.split(/[?#]/)[0]);
    return fetch(address, { method: 'POST', headers: { ...encoded, ...type }, body });
  }

  async download(kind) {
    const response = await this.send('file', { 'x-table-file': kind });
    if (!response.ok) {
      this.showText(await detailOf(response));
      return;
    }
    const [, name] = response.headers.get('content-disposition').split("''");
    const link = document.createElement('a');
    link.href = URL.createObjectURL(await response.blob());
    link.download = decodeURIComponent(name);
    link.click();
    URL.revokeObjectURL(link.href);
  }

  async discard() {
    await this.send('discard', {});
    Object.assign(this, { file: null, key: '' });
    this.find('[name=table]').value = '';
    this.find('.mt-own-drop b').textContent = 'Choose a table';
    this.find('.mt-own-drop span').textContent = 'or drop it here: CSV or Parquet, at most 20 MB';
    this.find('[name=check]').disabled = true;
    this.find('[name=discard]').hidden = true;
    this.hideAfter('upload');
    this.showProblem('');
    this.step('upload').append(this.find('.mt-own-running'));
    this.find('.mt-own-status').textContent = 'The upload was deleted.';
  }

  setBusy(text) {
    this.isBusy = Boolean(text);
    this.find('.mt-own-status').textContent = text;
    const bar = this.find('.mt-own-progress');
    bar.hidden = !text;
    bar.removeAttribute('value');
    if (text) this.showProblem('');
    ['check', 'import', 'discard', 'table'].forEach((name) => { this.find(`[name=${name}]`).disabled = this.isBusy; });
  }

  showProgress(done, total) {
    this.find('.mt-own-status').textContent = `Certifying episodes: ${done} of ${total}`;
    Object.assign(this.find('.mt-own-progress'), { max: total, value: done });
  }

  hideAfter(name) {
    STEPS.slice(STEPS.indexOf(name) + 1).forEach((later) => { this.step(later).hidden = true; });
  }

  show(name, html) {
    const step = this.step(name);
    step.querySelector('.mt-own-result').innerHTML = html;
    step.hidden = false;
    step.scrollIntoView({ block: 'nearest', behavior: 'smooth' });
  }

  // The server has escaped the text in its HTML.
  showProblem(html) {
    this.find('.mt-own-problem').innerHTML = html;
  }

  showText(text) {
    const note = document.createElement('p');
    note.className = 'mt-note bad';
    note.setAttribute('role', 'alert');
    note.textContent = text;
    this.find('.mt-own-problem').replaceChildren(note);
  }
}

function formatSize(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

async function detailOf(response) {
  try {
    return (await response.json()).detail;
  } catch {
    return `The server answered with status ${response.status}.`;
  }
}
