"""The look of the HTML report: plain CSS, light and dark, no fonts or images to load."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --paper: #fff; --line: #d9dee6; --soft: #f3f5f8;
  --model: #7b5bd6; --tool: #0f8f86; --error: #c8372d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ef; --paper: #14181f; --line: #333b47;
  --soft: #1d232c; --model: #a58cf0; --tool: #3cc0b5; --error: #f07066; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 16px; overflow-wrap: anywhere; }
h1 span { font-weight: 400; opacity: .7; }
h2 { font-size: 19px; margin: 28px 0 10px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 10px; }
.cards div { background: var(--soft); border: 1px solid var(--line); border-radius: 8px;
  padding: 10px 14px; font-size: 13px; }
.cards b { display: block; font-size: 21px; }
a { color: inherit; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { font-size: 12px; font-weight: 600; opacity: .75; }
#scores td { white-space: nowrap; }
.bar { display: inline-block; width: 90px; height: 9px; border-radius: 5px;
  background: var(--line); overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--tool); }
.episode { border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px;
  margin: 10px 0; }
.episode summary { cursor: pointer; }
.timeline { margin: 14px 0 2px; background: var(--soft); border: 1px solid var(--line);
  border-radius: 4px; overflow: hidden; }
.lane { position: relative; height: 20px; }
.lane + .lane { border-top: 1px solid var(--line); }
.lane i { position: absolute; top: 2px; bottom: 2px; min-width: 1px; border-radius: 2px;
  border-right: 1px solid var(--paper); }
.model { background: var(--model); } .tool { background: var(--tool); }
.error { background: var(--error); }
.axis { display: flex; justify-content: space-between; font-size: 12px; opacity: .75; }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 3px;
  margin: 0 4px 0 12px; vertical-align: -1px; }
.legend i:first-child { margin-left: 0; }
.breakdown { width: auto; margin-top: 10px; font-size: 13px; }
.breakdown td { border: 0; padding: 1px 16px 1px 0; }
.counts { font-size: 13px; opacity: .85; margin: 4px 0 12px; }
.steps { font-size: 13px; }
.steps tr.model, .steps tr.tool { background: none; }
.steps tr.model code { color: var(--model); }
code { font: 12px/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
.bad, .bad code { color: var(--error); }
"""
