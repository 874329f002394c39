"""nginx: one worker in the foreground, keep-alive to origins. Its log is `combined`, unbuffered, as it comes."""

from lab import first_line, need
from proxies.setting import Setting, listeners

CONFIG = """\
daemon off;
worker_processes 1;
master_process off;
pid {scratch}/nginx-{port}.pid;
error_log {scratch}/nginx-{port}.err;
events {{ worker_connections 8000; }}
http {{
    access_log {log};
    client_body_temp_path {scratch};
    proxy_temp_path {scratch};
    fastcgi_temp_path {scratch};
    uwsgi_temp_path {scratch};
    scgi_temp_path {scratch};
    keepalive_requests 1000000000;
    upstream origin {{ {servers} keepalive 256; keepalive_requests 1000000000; }}
    ssl_certificate {pem};
    ssl_certificate_key {pem};
    ssl_protocols TLSv1.3;
    ssl_ecdh_curve X25519;
    ssl_session_cache shared:a:10m;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        listen 127.0.0.1:{tls_port} ssl http2 backlog=4096;
        listen 127.0.0.1:{h2c_port} http2 backlog=4096;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
"""


def make(ask):
    """nginx's setting."""
    ports = listeners()
    config = CONFIG.format(
        **ports,
        pem=ask.pem(),
        scratch=ask.scratch,
        log=f"{ask.log} combined" if ask.log else "off",
        servers=" ".join(f"server 127.0.0.1:{origin};" for origin in ask.origins),
    )
    path = ask.file("nginx", "conf")
    path.write_text(config)
    binary = need("nginx")
    return Setting("nginx", [binary, "-c", str(path)], config, first_line(binary, "-v"), log=ask.log, **ports)
