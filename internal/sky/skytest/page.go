package skytest

import "fmt"

// Page does with its WebSocket what their built page does: a random sid, no
// subprotocol and no token, every text frame an alert, content as raw HTML, a click on
// a notification loads the page anew, and nothing ever reconnects. What it showed is
// kept in localStorage, as types and order ids.
const Page = `<!doctype html><meta charset="utf-8"><title>外卖管理端</title><body><div id="list"></div><script>
const keep = (name, value) => localStorage.setItem(name, JSON.stringify([...JSON.parse(localStorage.getItem(name) || '[]'), value]));
window.addEventListener('error', (e) => keep('errors', String(e.message)));
const socket = new WebSocket('ws://' + location.host + '/ws/' + Math.random().toString(36).slice(2));
window.socket = socket;
socket.onopen = () => { document.title = '已连接'; };
socket.onclose = () => { document.title = '断开'; };
socket.onerror = () => { document.title = '错误'; };
socket.onmessage = (e) => {
  const alert = JSON.parse(e.data);
  const box = document.createElement('p');
  box.innerHTML = (alert.type === 1 ? '待接单 ' : '催单 ') + alert.content;
  box.onclick = () => location.reload();
  document.getElementById('list').append(box);
  keep('shown', alert.type + '/' + alert.orderId);
};
</script>`

// Nginx is their configuration as described: /api/ becomes /admin/, WebSockets go on
// without a Host header of the browser's, and there is no place for callbacks; more
// adds one. Listen and upstream are HOST:PORT, dir is a folder of its own.
func Nginx(dir, listen, upstream, more string) string {
	return fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  types { text/html html; }
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  upstream webservers { server %[3]s weight=90; }
  server {
    listen %[2]s;
    server_name localhost;
    location / { root %[1]s/html; index index.html; }
    location /api/ { proxy_pass http://webservers/admin/; }
    location /user/ { proxy_pass http://webservers/user/; }
    location /ws/ {
      proxy_pass http://webservers/ws/;
      proxy_http_version 1.1;
      proxy_read_timeout 3600s;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }
%[4]s
  }
}`, dir, listen, upstream, more)
}
