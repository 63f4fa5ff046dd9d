# A small shell in a pseudo-terminal of its own, for one command: python3 pty.py SCENARIO
# SCENARIO is JSON: {"command": [..], "steps": [..], "limit": seconds, "columns": width}, and a step is one of
#   ["wait", seconds]  ["until", "pattern"]  ["send", "keys"]  ["signal", number]
#   ["stopped"]        waits until the command is stopped, as a shell does
#   ["continue"]       what `fg` does
#   ["resize", columns]
# Prints JSON: code or signal, seconds from the last key or signal to the end, what was written,
# and the terminal's settings before and after.
import fcntl, json, os, re, select, signal, struct, sys, termios, time

scenario = json.loads(sys.argv[1])
master, slave = os.openpty()
resize = lambda columns: fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
resize(scenario.get("columns", 100))
settings = lambda: termios.tcgetattr(slave)[:6] + [[b if isinstance(b, int) else b.hex() for b in termios.tcgetattr(slave)[6]]]
before = settings()
status_r, status_w = os.pipe()
orders_r, orders_w = os.pipe()

shell = os.fork()
if shell == 0:
    # The leader of the session, which stays, as a shell does: without it Ctrl-Z stops nothing.
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(slave, os.getpid())
        for name in (signal.SIGTTOU, signal.SIGHUP):
            signal.signal(name, signal.SIG_DFL)
        for fd in range(3):
            os.dup2(slave, fd)
        os.closerange(3, 100)
        os.execvp(scenario["command"][0], scenario["command"])
    os.write(status_w, f"job {job}\n".encode())
    while True:
        _, status = os.waitpid(job, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            os.tcsetpgrp(slave, os.getpgrp())
            os.write(status_w, b"stopped\n")
            os.read(orders_r, 1)
            os.tcsetpgrp(slave, job)
            os.killpg(job, signal.SIGCONT)
            continue
        how = ["signal", os.WTERMSIG(status)] if os.WIFSIGNALED(status) else ["code", os.WEXITSTATUS(status)]
        os.write(status_w, f"ended {how[0]} {how[1]} {time.monotonic()}\n".encode())
        os._exit(0)

job = None
written = b""
ended = None
stopped = False
said = b""
deadline = time.monotonic() + scenario.get("limit", 120)


def pump(seconds):
    """Takes what comes, for so long at most; returns at the first news."""
    global written, ended, stopped, job, said
    ready, _, _ = select.select([master, status_r], [], [], max(0, seconds))
    if master in ready:
        try:
            written += os.read(master, 65536)
        except OSError:
            pass
    if status_r in ready:
        said += os.read(status_r, 4096)
        *lines, said = said.split(b"\n")
        for line in lines:
            word, *rest = line.decode().split()
            if word == "job":
                job = int(rest[0])
            elif word == "stopped":
                stopped = True
            else:
                ended = (rest[0], int(rest[1]), float(rest[2]))


def wait_for(what, limit):
    end = min(deadline, time.monotonic() + limit)
    while not what() and ended is None and time.monotonic() < end:
        pump(min(0.05, end - time.monotonic()))
    return what()


problems = []
last = time.monotonic()
sent = False
mark = 0
for step, *arguments in scenario["steps"]:
    if ended is not None:
        break
    if step == "wait":
        wait_for(lambda: False, arguments[0])
    elif step == "until":
        if not wait_for(lambda: re.search(arguments[0].encode(), written[mark:]), 120) and ended is None:
            problems.append(f"{arguments[0]} was never written")
    elif step == "send":
        last = time.monotonic()
        sent = True
        os.write(master, arguments[0].encode())
    elif step == "signal":
        last = time.monotonic()
        sent = True
        os.kill(job, arguments[0])
    elif step == "stopped":
        if not wait_for(lambda: stopped, 10):
            problems.append("it was not stopped")
        else:
            problems += [] if time.monotonic() - last < 1 else ["it took more than a second to stop"]
        mark = len(written)
    elif step == "resize":
        resize(arguments[0])
    elif step == "continue":
        stopped = False
        os.write(orders_w, b"c")
wait_for(lambda: False, deadline - time.monotonic())
hung = ended is None
if hung and job is not None:
    os.killpg(job, signal.SIGKILL)
    wait_for(lambda: False, 10)
while select.select([master], [], [], 0.05)[0]:
    try:
        written += os.read(master, 65536)
    except OSError:
        break
print(json.dumps({
    "code": ended[1] if ended and ended[0] == "code" else None,
    "signal": ended[1] if ended and ended[0] == "signal" else None,
    "seconds": ended[2] - last if ended else None,
    "sent": sent,
    "hung": hung,
    "written": written.decode(errors="replace"),
    "same": settings() == before,
    "problems": problems,
}))
