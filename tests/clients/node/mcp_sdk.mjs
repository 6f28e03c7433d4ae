// A program that calls the tools of an MCP server with the official SDK.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

let client;

// Begins anew, as is to be done when a session is lost.
async function open() {
  await client?.close();
  client = new Client({ name: 'a customer', version: '1' });
  const transport = new StreamableHTTPClientTransport(new URL(`https://${process.env.FRONT}/mcp`));
  await client.connect(transport);
  return transport.protocolVersion;
}

const call = async (name) => (await client.callTool({ name, arguments: {} })).content[0].text;

async function slow(steps) {
  const onprogress = ({ progress }) => say('event', progress);
  const result = await client.callTool({ name: 'slow', arguments: { steps: Number(steps) } }, undefined, { onprogress });
  return result.content[0].text;
}

const tools = async () => (await client.listTools()).tools.map(({ name }) => name).join(' ');

await obey({ open, call, slow, tools });
