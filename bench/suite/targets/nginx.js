'use strict';

const fs = require('node:fs');
const path = require('node:path');

const STREAM = '/usr/lib/nginx/modules/ngx_stream_module.so';

async function startNginx(world, { backends, certificate, accessLog }) {
  const ports = {};
  for (const name of ['http', 'h2c', 'https', 'ws']) ports[name] = await world.port();
  const stream = fs.existsSync(STREAM);
  if (stream) ports.tcp = await world.port();
  const log = (name) => (accessLog ? `access_log ${world.file(`nginx-${name}.log`)} combined buffer=64k flush=1s;` : 'access_log off;');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${world.file(`proxy-${kind}`)};`).join(' ');
  const upstream = (name, list) => `upstream ${name} { ${list.map((port) => `server 127.0.0.1:${port} fail_timeout=10s;`).join(' ')} keepalive 600; keepalive_requests 1000000000; }`;
  const config = world.file('nginx.conf', `
${stream ? `load_module ${STREAM};` : ''}
${process.getuid() === 0 ? 'user root;' : ''}
daemon off; worker_processes auto; worker_rlimit_nofile 20000; pid ${world.file('nginx.pid')}; error_log stderr error;
events { worker_connections 19000; }
http {
  ${log('http')} keepalive_timeout 60; keepalive_requests 1000000000; tcp_nodelay on; client_max_body_size 0; ${temporary}
  client_header_timeout 10s; client_body_timeout 60s; send_timeout 60s;
  proxy_connect_timeout 5s; proxy_read_timeout 60s; proxy_send_timeout 60s; proxy_http_version 1.1;
  proxy_request_buffering off; proxy_max_temp_file_size 0;
  ${upstream('web', backends.http)}
  ${upstream('echo', backends.ws)}
  server {
    listen 127.0.0.1:${ports.http} backlog=4096; listen 127.0.0.1:${ports.h2c} http2 backlog=4096;
    location / {
      proxy_pass http://web; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }
  }
  server {
    listen 127.0.0.1:${ports.https} ssl http2 backlog=4096;
    ssl_certificate ${certificate.chain}; ssl_certificate_key ${certificate.key}; ssl_protocols TLSv1.3; ssl_session_tickets on;
    location / {
      proxy_pass http://web; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header Forwarded "for=$remote_addr;host=$http_host;proto=$scheme";
    }
  }
  server {
    listen 127.0.0.1:${ports.ws} backlog=4096;
    location / {
      proxy_pass http://echo; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_read_timeout 1h; proxy_send_timeout 1h;
    }
  }
}
${stream ? `stream {
  ${accessLog ? `log_format line '$remote_addr [$time_local] $status $bytes_sent $session_time'; access_log ${world.file('nginx-tcp.log')} line buffer=64k flush=1s;` : ''}
  upstream raw { ${backends.http.map((port) => `server 127.0.0.1:${port};`).join(' ')} }
  server { listen 127.0.0.1:${ports.tcp} backlog=4096; proxy_pass raw; proxy_connect_timeout 5s; proxy_timeout 1h; }
}` : ''}
`);
  const command = ['nginx', ['-e', 'stderr', '-c', config]];
  return [{ name: 'nginx', process: world.start('nginx', ...command), ports, command, folder: path.dirname(config) }];
}

module.exports = { startNginx };
