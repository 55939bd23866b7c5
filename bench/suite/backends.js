'use strict';
// What stands behind every target: one nginx on two addresses, and an echo of WebSocket messages on two.

const fs = require('node:fs');
const path = require('node:path');
const { until } = require('./world');
const { get } = require('./clients/get');

const SMALL = 'x'.repeat(24);

async function startBackends(world) {
  const [a, b, wsA, wsB] = [await world.port(), await world.port(), await world.port(), await world.port()];
  const www = world.file('www/small', SMALL);
  for (const [name, bytes] of [['10k', 10 << 10], ['64k', 64 << 10], ['1m', 1 << 20]]) world.file(`www/${name}`, 'x'.repeat(bytes));
  fs.closeSync(fs.openSync(world.file('www/gib'), 'w'));
  fs.truncateSync(world.file('www/gib'), 2 ** 30); // sparse
  const folder = path.dirname(www);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${world.file(`back-${kind}`)};`).join(' ');
  const conf = world.file('backends.conf', `
${process.getuid() === 0 ? 'user root;' : ''}
daemon off; worker_processes auto; worker_rlimit_nofile 20000; pid ${world.file('backends.pid')}; error_log stderr error;
events { worker_connections 9000; }
http {
  access_log off; keepalive_timeout 600; keepalive_requests 1000000000; sendfile on; tcp_nodelay on;
  open_file_cache max=100 inactive=1h; client_max_body_size 0; client_body_buffer_size 2m; ${temporary}
  upstream self { server 127.0.0.1:${a}; keepalive 64; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${a} backlog=4096; listen 127.0.0.1:${b} backlog=4096; root ${folder};
    location = /healthcheck { return 200 "OK"; }
    location = /who { return 200 "$server_port"; }
    location = /small { return 200 "${SMALL}"; }
    # The whole body is read before the answer, which a plain "return" would not do.
    location = /sink {
      proxy_pass http://self/small; proxy_http_version 1.1; proxy_method GET; proxy_pass_request_body off;
      proxy_set_header Connection ""; proxy_set_header Content-Length "";
    }
    # A file that a filter looked at has no known length, so it is sent chunked.
    location = /chunked { ssi on; ssi_types *; output_buffers 2 8k; alias ${folder}/64k; }
  }
}
`);
  fs.chmodSync(folder, 0o755);
  const nginx = world.start('backends', 'nginx', ['-e', 'stderr', '-c', conf]);
  const echo = world.start('echo', process.execPath, [path.join(__dirname, 'clients/ws-echo.js'), String(wsA), String(wsB)]);
  for (const port of [a, b]) await until('the servers answer', 10, async () => (await get(port, '/healthcheck')).status === 200);
  for (const port of [wsA, wsB]) await until('the echo answers', 10, async () => (await get(port, '/healthcheck')).status === 200);
  return { http: [a, b], ws: [wsA, wsB], processes: [nginx, echo] };
}

module.exports = { SMALL, startBackends };
