"""A process with what a container of the chart has, and no more: without a container, by `unshare` and `chroot`.

A root of its own, read-only: the binary, the C library, and what the pod mounts. The user of the image, no
capabilities, and none to be had. The network is that of whoever calls. Needs root.
"""

import contextlib
import os
import shutil
import subprocess

from helm import stage

USER = "65532"
BINARY = "/usr/local/bin/vanne"
CONFIG, STATE = "/etc/vanne", "/var/lib/vanne"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# Runs in a mount namespace of its own. $1 root, $2 binary, $3 config, $4 account; the rest is the command.
SCRIPT = f"""\
set -eu
root=$1 binary=$2 config=$3 account=$4
shift 4
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
mkdir -p usr/local/bin usr/lib proc .{CONFIG} .{STATE} .{ACCOUNT}
for name in lib lib64; do
  if [ -L "/$name" ]; then cp -P "/$name" "$name"; else mkdir "$name" && mount --bind "/$name" "$name"; fi
done
[ ! -d /usr/lib64 ] || {{ mkdir usr/lib64 && mount --bind /usr/lib64 usr/lib64; }}
mount --bind /usr/lib usr/lib
touch .{BINARY}
mount --bind "$binary" .{BINARY}
mount --rbind /proc proc
mount --bind "$config" .{CONFIG}
mount --bind "$account" .{ACCOUNT}
mount -t tmpfs -o size=64m,mode=770,uid=0,gid={USER} tmpfs .{STATE}
mount -o remount,ro tmpfs .
exec setpriv --no-new-privs chroot --userspec={USER}:{USER} --groups={USER} . "$@"
"""


def swap(folder, files):
    """Replaces what is in a folder as the kubelet does: a new folder behind the link `..data`."""
    number = len(list(folder.glob("..2*")))
    data = folder / f"..2026_{number}"
    data.mkdir()
    for name, text in files.items():
        (data / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data_tmp").symlink_to(data.name)
    (folder / "..data_tmp").rename(folder / "..data")


@contextlib.contextmanager
def running(scratch, binary, words, env):
    """The process, with the folders `scratch/config` and `scratch/account` mounted; its output goes to `scratch/vanne.log`."""
    for command in ("unshare", "setpriv", "chroot", "nsenter"):
        stage.need(command)
    root = scratch / "root"
    root.mkdir()
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]
    command += [root, stage.need(binary), scratch / "config", scratch / "account", BINARY, *words]
    env = {"PATH": os.environ["PATH"], **env}
    with open(scratch / "vanne.log", "wb") as log:
        child = subprocess.Popen([str(word) for word in command], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield child
    finally:
        stage.stop(child)
        shutil.rmtree(root, ignore_errors=True)


def execute(child, *words):
    """Runs Vanne once more beside the process, as `kubectl exec` does: its exit code and what it printed."""
    command = ["nsenter", f"--target={child.pid}", "--mount", "--root", f"--setuid={USER}", f"--setgid={USER}", BINARY]
    run = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
    return run.returncode, run.stdout + run.stderr
