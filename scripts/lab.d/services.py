"""What the lab's servers serve: a real PostgreSQL and nginx that listen on every address, and a UDP echo."""
import glob
import os
import pwd
import shutil

import topology
from hosts import LabError, patient, run, wait_until



def start_all(lab):
    start_postgresql(lab, "ledger")
    start_nginx(lab, "ledger", (443, 8080))
    start_nginx(lab, "web", (443,))
    lab.start("ledger", "echo", "/usr/bin/python3", os.path.join(os.path.dirname(__file__), "echo.py"),
              str(topology.PROBE_PORT), uid=65534)


def start_postgresql(lab, host):
    if not glob.glob("/usr/lib/postgresql/*/bin/postgres"):
        raise LabError("PostgreSQL is not installed; run scripts/setup")
    uid = pwd.getpwnam("postgres").pw_uid
    data = lab.host_dir(host) / "postgresql"
    data.mkdir()
    os.chown(data, uid, uid)
    made = lab.on(host, "initdb", "-D", f"{data}/data", "-A", "trust", "-U", "postgres",
                  "--no-sync", "--no-instructions", uid=uid)
    if made.returncode != 0:
        raise LabError(f"initdb: {made.stderr.strip()}")
    with open(data / "data" / "pg_hba.conf", "a") as hba:
        hba.write("host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n")
    lab.start(host, "postgresql", "postgres", "-D", f"{data}/data", "-c", "listen_addresses=*",
              "-c", f"unix_socket_directories={data}", "-c", "fsync=off", "-c", "max_connections=30", uid=uid)

    def answers():
        return lab.on(host, "psql", "-h", str(data), "-U", "postgres", "-qc",
                      "create table if not exists entries(id int, note text)", uid=uid).returncode == 0
    wait_until(answers, 30, "PostgreSQL to answer")
    lab.on(host, "psql", "-h", str(data), "-U", "postgres", "-qc",
           "insert into entries values (1, 'opening balance')", uid=uid)


def start_nginx(lab, host, ports):
    directory = lab.host_dir(host) / "nginx"
    (directory / "root").mkdir(parents=True)
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "7",
        "-subj", f"/CN={host}", "-keyout", f"{directory}/key.pem", "-out", f"{directory}/cert.pem")
    (directory / "root" / "index.html").write_text(f"this is {host}\n")
    listens = ""
    for port in ports:
        tls = " ssl" if port == 443 else ""
        listens += f"    listen 0.0.0.0:{port}{tls};\n    listen [::]:{port}{tls};\n"
    (directory / "nginx.conf").write_text(f"""\
daemon off;
worker_processes 1;
user nobody nogroup;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  server {{
{listens}    ssl_certificate {directory}/cert.pem;
    ssl_certificate_key {directory}/key.pem;
    root {directory}/root;
  }}
}}
""")
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    lab.start(host, "nginx", nginx, "-p", str(directory), "-e", f"{directory}/error.log", "-c",
              f"{directory}/nginx.conf")

    def answers():
        return lab.on(host, "curl", "-sk", "--max-time", f"{patient(2)}", "https://127.0.0.1/").returncode == 0
    wait_until(answers, 10, f"nginx on {host}; its log: {directory}/error.log")
