// A program that uses the official SDK with all its defaults. The address and the key are in the environment.
import OpenAI from 'openai';

const client = new OpenAI();
const model = 'lab-small';
const messages = [{ role: 'user', content: 'Good morning' }];

async function stream(tokens, cutAt) {
  let text = '';
  const headers = cutAt ? { 'x-lab-cut-at': cutAt } : {};
  const completion = await client.chat.completions.create(
    { model, messages, max_tokens: Number(tokens), stream: true },
    { headers },
  );
  let count = 0;
  for await (const chunk of completion) {
    text += chunk.choices[0].delta.content ?? '';
    say('event', ++count);
  }
  return text;
}

const whole = async () => (await client.chat.completions.create({ model, messages })).choices[0].message.content;

async function large(size) {
  const message = [{ role: 'user', content: 'x'.repeat(Number(size)) }];
  const completion = await client.chat.completions.create({ model, messages: message, max_tokens: 5 });
  return completion.choices[0].message.content;
}

const embed = async () => (await client.embeddings.create({ model, input: ['one', 'two'] })).data.length;

async function models() {
  const ids = [];
  for await (const { id } of client.models.list()) ids.push(id);
  return ids.join(' ');
}

obey({ stream, whole, large, embed, models });
