'use strict';
// One GET on a connection of its own, for those who wait for an answer or look at one.

const http = require('node:http');
const https = require('node:https');

/** {status, body, protocol, cipher}; status 0 when nothing usable came. */
function get(port, path, { tls = false, host = 'bench.example', agent = false, timeout = 2_000 } = {}) {
  return new Promise((resolve) => {
    const request = (tls ? https : http).get({
      host: '127.0.0.1', port, path, agent, timeout, headers: { Host: host }, rejectUnauthorized: false, servername: tls ? host : undefined,
    }, (response) => {
      const { socket } = response;
      const [protocol, cipher] = tls ? [socket.getProtocol(), socket.getCipher().name] : [];
      let body = '';
      response.setEncoding('latin1');
      response.on('data', (text) => { body += text; });
      response.on('end', () => resolve({ status: response.statusCode, body, protocol, cipher }));
      response.on('error', () => resolve({ status: 0, body }));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve({ status: 0, body: '' }));
  });
}

module.exports = { get };
