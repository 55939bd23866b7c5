'use strict';

const fs = require('node:fs');

// What an edge of Gateway tells its servers, HAProxy tells them too.
const EDGE_HEADERS = `
  option forwardfor
  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Real-IP %[src]
  http-request set-header Forwarded for=%[src];host=%[req.hdr(host)];proto=%[ssl_fc,iif(https,http)]`;

async function startHaproxy(world, { backends, certificate, accessLog, hosts }) {
  const servers = (ports) => ports.map((port, i) => `  server s${i} 127.0.0.1:${port} check inter 10s fall 1 rise 1`).join('\n');
  const ports = hosts > 0 ? { edge: await world.port() } : {};
  if (!hosts) for (const name of ['http', 'h2c', 'https', 'tcp', 'ws']) ports[name] = await world.port();
  const log = (form) => (accessLog ? `  log global\n  option ${form}` : '');
  const check = '  option httpchk GET /healthcheck';
  const sections = [`
global
  maxconn 9500
  ${accessLog ? 'log stdout format raw local0' : ''}
defaults
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-request 10s
  timeout http-keep-alive 60s
  timeout tunnel 1h
  timeout queue 5s
  balance roundrobin
  retries 3
  option redispatch
backend web
  mode http
${check}
${servers(backends.http)}`];
  if (hosts > 0) {
    const map = world.file(`haproxy-${hosts}.map`, Array.from({ length: hosts }, (_, i) => `h${i}.bench.example web`).join('\n') + '\n');
    sections.push(`
frontend edge
  mode http
${log('httplog')}
  bind 127.0.0.1:${ports.edge} backlog 4096${EDGE_HEADERS}
  use_backend %[req.hdr(host),host_only,lower,map(${map})]`);
  } else {
    const pem = world.file('haproxy.pem', fs.readFileSync(certificate.chain, 'utf8') + fs.readFileSync(certificate.key, 'utf8'));
    sections.push(`
frontend plain
  mode http
${log('httplog')}
  option forwardfor
  bind 127.0.0.1:${ports.http} backlog 4096
  bind 127.0.0.1:${ports.h2c} backlog 4096 proto h2
  default_backend web
frontend encrypted
  mode http
${log('httplog')}${EDGE_HEADERS}
  bind 127.0.0.1:${ports.https} backlog 4096 ssl crt ${pem} alpn h2,http/1.1 ssl-min-ver TLSv1.3
  default_backend web
listen ws
  mode http
${log('httplog')}
  option forwardfor
  bind 127.0.0.1:${ports.ws} backlog 4096
${check}
${servers(backends.ws)}
listen tcp
  mode tcp
${log('tcplog')}
  bind 127.0.0.1:${ports.tcp} backlog 4096
${servers(backends.http)}`);
  }

  const config = world.file(`haproxy-${hosts}.cfg`, `${sections.join('\n')}\n`);
  const process = world.start('haproxy', 'haproxy', ['-db', '-f', config]);
  return [{ name: 'haproxy', process, ports, command: ['haproxy', ['-db', '-f', config]] }];
}

module.exports = { startHaproxy };
