// What a customer's machine has and this one has not: the names of the fleet, all at the node. Loaded by Node itself.
const dns = require('node:dns');

const ask = dns.lookup;
dns.lookup = (host, ...rest) => ask(host.endsWith('.gateway.truefoundry.ai') ? '127.0.0.1' : host, ...rest);
