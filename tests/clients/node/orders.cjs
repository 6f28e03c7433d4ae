// One order a line from the test, and what comes of it a line each: `event 3`, `end`, `raised APIError: why`.
const { createInterface } = require('node:readline');

const say = (...words) => process.stdout.write(`${words.join(' ')}\n`);

// The classes of an exception below the language's own, nearest first.
function name(error) {
  const names = [];
  for (let kind = error?.constructor; kind?.name && kind !== Error; kind = Object.getPrototypeOf(kind)) names.push(kind.name);
  return names.join('/') || 'Error';
}

// Does what is asked for until nothing more is; whatever a program's author would see as an exception is told.
async function obey(orders) {
  say('ready');
  for await (const line of createInterface({ input: process.stdin })) {
    const [order, ...words] = line.split(' ');
    try {
      say('end', await orders[order](...words));
    } catch (error) {
      say('raised', `${name(error)}: ${error?.message} ${error?.cause ?? ''}`.replaceAll('\n', ' '));
    }
  }
}

globalThis.obey = obey;
globalThis.say = say;
