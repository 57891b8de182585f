"""How the page for gold labels looks, and what its keys do."""

CSS = """
:root {--ink: #1b1f24; --paper: #fdfcfa; --quiet: #6a6f76; --line: #dedbd5; --mark: #0b6e99}
body.dark {--ink: #e6e6e3; --paper: #16181c; --quiet: #9a9fa6; --line: #33363c; --mark: #56b4e9}
body, gradio-app, .gradio-container {background: var(--paper) !important; color: var(--ink) !important}
.gradio-container {max-width: 860px !important; margin: 0 auto !important; padding: 12px 16px 40px !important;
  font-family: system-ui, sans-serif !important}
footer {display: none !important}
.gold-top, .gold-top span {color: var(--quiet) !important}
.gold-top {display: flex; justify-content: space-between; font-size: 14px;
  font-variant-numeric: tabular-nums}
.gold-bar {height: 3px; background: var(--line); margin: 6px 0 18px}
.gold-bar i {display: block; height: 3px; background: var(--mark)}
.gold-label {color: var(--quiet); font-size: 13px; margin: 14px 0 4px}
.gold-text {white-space: pre-wrap; overflow-wrap: anywhere; font: 16px/1.55 system-ui, sans-serif; max-height: 34vh;
  overflow: auto; border-left: 3px solid var(--line); padding: 2px 0 2px 14px; margin: 0; color: var(--ink)}
.gold-response {border-left-color: var(--mark); max-height: 44vh}
.gold-blur {filter: blur(7px); user-select: none}
.gold-question {font-size: 20px; line-height: 1.4; margin: 22px 0 6px; color: var(--ink)}
.gold-hint {color: var(--quiet); font-size: 13px}
#answers button, #skips button, #tools button {min-width: 0}
kbd {color: var(--ink); border: 1px solid var(--line); border-radius: 3px; padding: 0 5px; font: 12px ui-monospace, monospace}
"""

ANSWER_KEYS = "1234567890-="
"""Keys of a question's answers, in their order."""

# Keys press the buttons; typing in a field is left alone. Blurring needs no server.
KEYS = """() => {
  const answerKeys = 'ANSWER_KEYS';
  const press = (id) => { const b = document.querySelector('#' + id); if (b && b.offsetParent && !b.disabled) b.click(); };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const skipping = document.querySelector('#skips') && document.querySelector('#skips').offsetParent;
    const key = event.key.toLowerCase();
    if (key === 'b') document.querySelectorAll('.gold-text').forEach((text) => text.classList.remove('gold-blur'));
    else if (key === 'u') press('undo');
    else if (key === 's') press('skip');
    else if (key === 'enter') press('save');
    else if (key.length === 1 && answerKeys.includes(key)) {
      const place = answerKeys.indexOf(key);
      if (skipping) press('skip-' + (place + 1));
      else if (document.querySelector('#choices') && document.querySelector('#choices').offsetParent) {
        const boxes = document.querySelectorAll('#choices input[type=checkbox]');
        if (boxes[place]) boxes[place].click();
      } else press('answer-' + (place + 1));
    }
    else if (key === 'y') press('answer-1');
    else if (key === 'n') press('answer-2');
    else return;
    if (key === 'enter' || document.activeElement.tagName === 'BUTTON') event.preventDefault();
  });
}""".replace("ANSWER_KEYS", ANSWER_KEYS)
