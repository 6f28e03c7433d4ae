'use strict';
for (const through of document.querySelectorAll('.through')) {
  const steps = [...through.querySelectorAll('.step')];
  const mover = through.querySelector('.mover');
  const range = mover.querySelector('input');
  const button = mover.querySelector('button');
  let playing;
  const show = () => {
    const at = Number(range.value);
    steps.forEach((step, own) => step.classList.toggle('on', own === at));
    range.setAttribute('aria-valuetext', steps[at].querySelector('b').textContent);
  };
  const stop = () => { clearInterval(playing); playing = undefined; button.textContent = 'Play'; };
  const next = () => {
    if (Number(range.value) === steps.length - 1) return stop();
    range.value = Number(range.value) + 1;
    show();
  };
  range.addEventListener('input', () => { stop(); show(); });
  button.addEventListener('click', () => {
    if (playing) return stop();
    if (Number(range.value) === steps.length - 1) range.value = 0;
    button.textContent = 'Pause';
    show();
    playing = setInterval(next, 700);
  });
  if (steps.length > 1) { mover.hidden = false; show(); }
}
