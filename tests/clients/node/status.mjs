// A reader of the status page: Debian's Chromium without a window, axe and Lighthouse. One order a line.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const require = createRequire(`${process.cwd()}/`);
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const PORT = Number(process.env.DEBUGGING_PORT ?? 0);
const flags = [
  '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-extensions',
  '--disable-component-update', '--disable-sync', '--no-proxy-server', '--hide-scrollbars', '--lang=en-GB',
];
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: PORT ? [...flags, `--remote-debugging-port=${PORT}`] : flags,
});

// Whatever a page complains of: on its console, as an exception, or because it may not load something.
async function opened(url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: 'en-GB', timezoneId: 'UTC', ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(`exception: ${error.message}`));
  page.on('requestfailed', (request) => !request.url().includes('/events') && complaints.push(`failed: ${request.url()}`));
  page.on('dialog', (dialog) => { complaints.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  await page.addInitScript(() => addEventListener('securitypolicyviolation', (event) => console.error(`blocked: ${event.violatedDirective} ${event.blockedURI}`)));
  await page.goto(url);
  return { page, context, complaints };
}

const looks = [];
for (const colorScheme of ['light', 'dark']) {
  for (const [width, height] of [[1440, 900], [320, 700]]) looks.push({ colorScheme, viewport: { width, height }, reducedMotion: 'reduce' });
}

// axe, sideways scrolling and complaints of a page in every look, everything opened; the problems, in a line.
async function audit(url) {
  const problems = [];
  for (const look of looks) {
    const { page, context, complaints } = await opened(url, look);
    const name = `${look.colorScheme} ${look.viewport.width}`;
    await page.evaluate(() => document.querySelectorAll('details').forEach((details) => (details.open = true)));
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
    for (const { id, nodes } of violations) problems.push(`${name}: ${id}: ${nodes.slice(0, 3).map(({ target, failureSummary }) => `${target} ${failureSummary.split('\n').slice(1, 3).join(' ')}`).join(' | ')}`);
    const [content, room] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    if (content > room) problems.push(`${name}: ${content} wide in ${room}`);
    problems.push(...complaints.map((text) => `${name}: ${text}`));
    await context.close();
  }
  return JSON.stringify(problems);
}

// Follows the page while the test changes what it tells: what was open and focused stays so, and it is said aloud.
let reader;
async function follow(url) {
  reader = await opened(url);
  const { page } = reader;
  await page.waitForSelector('[data-live]:not([hidden])');
  await page.click('#region-lhr summary');
  await page.focus('#region-lhr .feeds a');
  await page.evaluate(() => {
    globalThis.was = { focused: document.activeElement, row: document.getElementById('region-lhr'), title: document.title };
    window.scrollTo(0, 600);
  });
  return page.textContent('#sentence');
}
async function changed(text) {
  const { page, complaints } = reader;
  await page.waitForFunction((text) => document.getElementById('sentence').textContent.includes(text), text.replaceAll('_', ' '));
  const told = await page.evaluate(() => ({
    isOpen: document.getElementById('region-lhr').open,
    isSameRow: globalThis.was.row === document.getElementById('region-lhr'),
    isFocused: document.activeElement === globalThis.was.focused && globalThis.was.focused.isConnected,
    isTitled: document.title !== globalThis.was.title,
    said: document.getElementById('said').textContent,
    icon: document.getElementById('icon').getAttribute('href'),
    navigations: performance.getEntriesByType('navigation').length,
  }));
  return JSON.stringify({ ...told, complaints });
}
// The connection ends for good: within a little more than a minute the page says that it is old.
async function lost() {
  const { page } = reader;
  await page.clock?.install?.();
  return page.evaluate(() => document.documentElement.className);
}

// By keyboard alone: what is focused after each key.
async function keys(url) {
  const { page, context } = await opened(url);
  const at = () => page.evaluate(() => { const e = document.activeElement; return e.id || e.className || e.textContent.trim().slice(0, 20) || e.tagName; });
  const path = [];
  await page.keyboard.press('Tab');
  path.push(await at());
  const isSeen = await page.evaluate(() => document.activeElement.getBoundingClientRect().top >= 0);
  await page.keyboard.press('Enter');
  path.push(await at());
  await page.focus('#region-orf > summary');
  await page.keyboard.press('Enter');
  const isOpen = await page.evaluate(() => document.getElementById('region-orf').open);
  await page.keyboard.press('Tab');
  path.push(await page.evaluate(() => document.activeElement.closest('details')?.id ?? ''));
  const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  await context.close();
  return JSON.stringify({ path, isSeen, isOpen, ring });
}

// Without the script: everything is there all the same.
async function plain(url) {
  const { page, context, complaints } = await opened(url, { javaScriptEnabled: false });
  const text = await page.content();
  const visible = await page.innerText('main');
  await page.click('#region-orf > summary');
  const inside = await page.innerText('#region-orf .inside');
  await context.close();
  return JSON.stringify({ length: text.length, visible, inside, complaints });
}

// The four scores, 0 to 100.
async function lighthouse(url) {
  const { default: run } = await import(require.resolve('lighthouse'));
  const result = await run(url, { port: PORT, output: 'json', logLevel: 'error', onlyCategories: ['performance', 'accessibility', 'best-practices', 'seo'] });
  const { categories, audits } = result.lhr;
  const scores = Object.fromEntries(Object.entries(categories).map(([name, { score }]) => [name, Math.round(score * 100)]));
  const failed = Object.values(audits).filter(({ score, scoreDisplayMode }) => score !== null && score < 0.9 && scoreDisplayMode !== 'informative').map(({ id, displayValue }) => `${id} ${displayValue ?? ''}`);
  return JSON.stringify({ scores, failed, paint: audits['first-contentful-paint'].displayValue });
}

await obey({ audit, follow, changed, lost, keys, plain, lighthouse });
process.exit(0);
