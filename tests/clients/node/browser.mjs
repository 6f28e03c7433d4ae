// A browser: Debian's Chromium without a window. What a page's script would write runs in the page.
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const key = new X509Certificate(readFileSync(process.env.FRONT_CERTIFICATE)).publicKey;
const spki = createHash('sha256').update(key.export({ type: 'spki', format: 'der' })).digest('base64');
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--no-proxy-server', `--ignore-certificate-errors-spki-list=${spki}`,
    '--host-resolver-rules=MAP *.gateway.truefoundry.ai 127.0.0.1',
  ],
});
const page = await browser.newPage();
await page.exposeFunction('say', say);

// Where the page comes from; its scripts ask the same place.
async function open() {
  await page.goto(`https://${process.env.FRONT}/whoami`);
  return page.evaluate(() => performance.getEntriesByType('navigation')[0].nextHopProtocol);
}

const read = (path) =>
  page.evaluate(async (path) => {
    const answer = await fetch(path);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ''; ; ) {
      const { value, done } = await reader.read();
      if (done) return text.length;
      for (const [id] of value.matchAll(/id: \d+/g)) await say(id);
      text += value;
    }
  }, path);

// An EventSource asks again by itself; how often it had to.
const follow = (path, events) =>
  page.evaluate(
    ([path, events]) =>
      new Promise((resolve) => {
        const source = new EventSource(path);
        let count = 0;
        let lost = 0;
        source.onerror = () => lost++;
        source.onmessage = async ({ lastEventId }) => {
          await say(`id: ${lastEventId}`);
          if (++count < Number(events)) return;
          source.close();
          resolve(`lost ${lost}`);
        };
      }),
    [path, events],
  );

const talk = () =>
  page.evaluate(
    () =>
      new Promise((resolve) => {
        const socket = new WebSocket(`wss://${location.host}/ws`);
        socket.onopen = () => socket.send('one');
        socket.onmessage = ({ data }) => say(`echoed ${data}`);
        socket.onclose = ({ code, reason }) => resolve(`closed ${code} ${reason}`);
      }),
  );

await obey({ open, read, follow, talk });
await browser.close();
