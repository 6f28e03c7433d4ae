// A program that uses the official SDK with all its defaults. The address and the key are in the environment.
import OpenAI from 'openai';

const client = new OpenAI();
const model = 'lab-small';
const greeting = 'Good morning';

async function stream(tokens, headers = {}) {
  const messages = [{ role: 'user', content: greeting }];
  const completion = await client.chat.completions.create(
    { model, messages, max_tokens: Number(tokens), stream: true },
    { headers },
  );
  let text = '';
  let count = 0;
  for await (const chunk of completion) {
    text += chunk.choices[0].delta.content ?? '';
    say('event', ++count);
  }
  return text;
}

async function whole(content = greeting, headers = {}) {
  const messages = [{ role: 'user', content }];
  const completion = await client.chat.completions.create({ model, messages, max_tokens: 5 }, { headers });
  return completion.choices[0].message.content;
}

async function models() {
  const ids = [];
  for await (const { id } of client.models.list()) ids.push(id);
  return ids.join(' ');
}

// What the lab shall do to this one request is said in a field of it.
const late = { 'x-lab-late-ms': '1000' };
obey({
  stream: (tokens) => stream(tokens),
  cut_stream: (tokens, at) => stream(tokens, { 'x-lab-cut-at': at }),
  late_stream: () => stream(8, late),
  whole: () => whole(),
  late_whole: () => whole(greeting, late),
  large: (size) => whole('x'.repeat(Number(size))),
  embed: async () => (await client.embeddings.create({ model, input: ['one', 'two'] })).data.length,
  models,
});
