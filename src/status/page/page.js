// Keeps the page fresh, in place: focus, open rows and what is being read stay as they are. The page is whole without it.
'use strict';
const root = document.documentElement;
const { manner, root: base, version } = root.dataset;
const isLive = manner === 'live';
const isFirst = root.dataset.at !== undefined;
// A copy is renewed every few seconds by a node that lives; from a bucket it may come a little later.
const STALE_AFTER = isLive ? 60_000 : 300_000;
const LOOK_EVERY = isLive ? 15_000 : 60_000;
let seenAt = Date.now();
let skew = 0;

// ---- times: those of the reader

let local, clock;
function localiseOne(time) {
  const at = new Date(time.dateTime);
  if (isNaN(at)) return;
  const hours = { hour: '2-digit', minute: '2-digit' };
  local ??= new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', year: 'numeric', ...hours });
  clock ??= new Intl.DateTimeFormat(undefined, { ...hours, second: '2-digit' });
  time.title = `${time.dateTime.replace('T', ' ').replace('Z', '')} UTC`;
  time.textContent = (time.dataset.as === 'clock' ? clock : local).format(at);
}
const times = (within) => within.querySelectorAll('time[datetime]');
const localise = (within) => times(within).forEach(localiseOne);
// At first a few at a time: nobody waits for them.
const later = window.requestIdleCallback ?? ((work) => setTimeout(work, 50));
function localiseAll(left) {
  left.splice(0, 12).forEach(localiseOne);
  if (left.length) later(() => localiseAll(left));
  else document.querySelector('[data-zone]').textContent = `, shown in yours (${new Intl.DateTimeFormat().resolvedOptions().timeZone})`;
}

// ---- new parts in the place of old ones

function attributes(old, fresh) {
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) {
    const isReaders = (name === 'open' && old.tagName === 'DETAILS') || (name === 'hidden' && 'live' in old.dataset);
    if (!fresh.hasAttribute(name) && !isReaders) old.removeAttribute(name);
  }
}
const isSame = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id ?? '') === (b.id ?? '');
function morph(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.isEqualNode(fresh)) return;
  attributes(old, fresh);
  if (old.tagName === 'TIME') { old.textContent = fresh.textContent; return; }
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    let match = at;
    // What has an id is looked for; what has none stands where it stood.
    while (match && !isSame(match, next)) match = next.id ? match.nextSibling : null;
    if (match) {
      while (at !== match) { const gone = at; at = at.nextSibling; gone.remove(); }
      at = match.nextSibling;
      morph(match, next);
    } else old.insertBefore(next, at);
  }
  while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
}
function put(fresh) {
  const old = document.getElementById(fresh.id);
  if (!old) return;
  localise(fresh);
  morph(old, fresh);
}
const parsed = (text) => new DOMParser().parseFromString(text, 'text/html');

// What a reader should hear of: the state and the incidents, not the seconds.
const gist = () => [...document.querySelectorAll('#sentence, #current h3, #current .phase')].map((e) => e.textContent.trim()).join('. ');
function changed(change) {
  const before = gist();
  change();
  const after = gist();
  if (after && after !== before) document.getElementById('said').textContent = after;
  seenAt = Date.now();
  tellAge();
}
function take({ parts, title, icon, at }) {
  changed(() => {
    for (const text of Object.values(parts)) {
      const fresh = parsed(text).body.firstElementChild;
      if (fresh) put(fresh);
    }
    if (isFirst && title) document.title = title;
    if (isFirst && icon) document.getElementById('icon').href = base + icon;
    if (isFirst && at) root.dataset.at = at;
  });
}
let isAsking = false;
async function askAgain() {
  if (isAsking || document.hidden || location.protocol === 'file:') return;
  isAsking = true;
  try {
    const answer = await fetch(location.href, { cache: 'no-cache' });
    if (!answer.ok) return;
    const page = parsed(await answer.text());
    const served = Date.parse(answer.headers.get('date') ?? '');
    if (served) skew = Date.now() - served;
    changed(() => {
      localise(page);
      morph(document.getElementById('main'), page.getElementById('main'));
      document.title = page.title;
      document.getElementById('icon').href = page.getElementById('icon').getAttribute('href');
      if (isFirst) root.dataset.at = page.documentElement.dataset.at;
    });
  } catch { /* It is told by its age. */ } finally { isAsking = false; tellAge(); }
}

// ---- how old it is

const stale = document.getElementById('stale');
const length = (ms) => {
  const minutes = Math.floor(ms / 60_000);
  return minutes < 1 ? 'less than a minute' : minutes < 120 ? `${minutes} min` : minutes < 2_880 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1_440)} days`;
};
function tellAge() {
  if (!isFirst) return;
  const age = isLive ? Date.now() - seenAt : Date.now() - skew - Date.parse(root.dataset.at);
  const isStale = age > STALE_AFTER;
  const words = isLive
    ? `No news for ${length(age)}: the connection is lost, or we are. What you see may no longer be so.`
    : `This copy is ${length(age)} old: what it says may no longer be so.`;
  stale.hidden = !isStale;
  if (isStale && stale.textContent !== words) stale.textContent = words;
  root.classList.toggle('is-stale', isStale);
  const live = document.querySelector('[data-live]');
  if (live) live.hidden = isStale || !isConnected;
}

// ---- news

let isConnected = false;
function follow() {
  const source = new EventSource(`${base}events${version ? `?since=${encodeURIComponent(version)}` : ''}`);
  const alive = (is) => { isConnected = is; if (is) seenAt = Date.now(); tellAge(); };
  source.onopen = () => alive(true);
  source.addEventListener('parts', ({ data }) => { alive(true); take(JSON.parse(data)); });
  source.addEventListener('alive', () => alive(true));
  source.addEventListener('reload', () => { alive(true); askAgain(); });
  source.onerror = () => {
    alive(false);
    // Full, or not here: asked now and then instead.
    if (source.readyState === EventSource.CLOSED) setInterval(askAgain, LOOK_EVERY);
  };
}

// ---- what the bars say, day by day

let tip;
function hideTip() { tip?.remove(); tip = undefined; }
function showTip({ target, clientX }) {
  const bars = target.closest?.('.bars');
  if (!bars) return hideTip();
  const box = bars.getBoundingClientRect();
  const at = Math.min(89, Math.max(0, Math.floor(((clientX - box.left) / box.width) * 89.6)));
  const own = bars.querySelector(`rect[x="${at * 5}"] title`);
  const day = new Date((Number(bars.dataset.first) + at) * 86_400_000);
  const name = day.toLocaleDateString(undefined, { timeZone: 'UTC', day: 'numeric', month: 'short', year: 'numeric' });
  const isIn = (path) => [...(path?.getAttribute('d') ?? '').matchAll(/M(\d+) \d+h(\d+)/g)].some(([, x, w]) => at * 5 >= +x && at * 5 <= +x + +w);
  const words = own?.textContent ?? `${name}: ${isIn(bars.querySelector('.unwatched')) ? 'not watched' : 'no trouble'}`;
  tip ??= document.body.appendChild(Object.assign(document.createElement('div'), { className: 'tip', ariaHidden: 'true' }));
  tip.textContent = words;
  const half = tip.offsetWidth / 2;
  const x = Math.min(innerWidth - half - 8, Math.max(half + 8, box.left + ((at + 0.3) / 89.6) * box.width));
  tip.style.left = `${x + scrollX}px`;
  tip.style.top = `${box.top + scrollY - 6}px`;
}
addEventListener('pointermove', showTip, { passive: true });
addEventListener('scroll', hideTip, { passive: true });

// ---- a link to a region opens it

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName === 'DETAILS') target.open = true;
}

later(() => localiseAll([...times(document)]));
addEventListener('hashchange', openTarget);
openTarget();
if (isLive) follow();
else {
  askAgain();
  setInterval(askAgain, LOOK_EVERY);
}
setInterval(tellAge, 5_000);
document.addEventListener('visibilitychange', () => { if (!document.hidden && !isConnected) askAgain(); });
tellAge();
