#!/usr/bin/env bash
# vibe_tasks on one Linux machine, from its wheel: PostgreSQL, Valkey, two workers, beat, Flower and
# the dashboard, all of them in one folder and on this machine's loopback address alone.
#
#   deploy/one-machine.sh FOLDER install WHEEL     once; again for a new version
#   deploy/one-machine.sh FOLDER start             what does not run yet
#   deploy/one-machine.sh FOLDER status            exit code 1 where a part does not run
#   deploy/one-machine.sh FOLDER stop
#
# docs/setup.md tells what each step is for. From the environment, with what is usual:
#   PYTHON python3           PG_BIN the folder of initdb and postgres, found where it is usual
#   DATABASE_PORT 5433       BROKER_PORT 6380       FLOWER_PORT 5555       WEB_PORT 4000
#   SERVER_USER postgres     who runs PostgreSQL where we are root, which it refuses to run as
#   PATIENCE 60              seconds that a part may take to start or to end
set -euo pipefail
umask 077

fail() {
  echo "one-machine.sh: $*" >&2
  exit 2
}

[ $# -ge 2 ] || fail "say FOLDER and install WHEEL, start, status or stop"
step=$2
[ "$step" = install ] || [ -f "$1/env" ] || fail "nothing is installed in $1"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
wheel=${3:-}
[[ $folder =~ ^[A-Za-z0-9/._-]+$ ]] || fail "the folder's path must have no blanks or signs: $folder"

# ---- install -----------------------------------------------------------------------------------

install_wheel() {
  [ -f "$wheel" ] || fail "install WHEEL: no file ${wheel:-named}"
  [ -x "$folder/venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$folder/venv"
  "$folder/venv/bin/python" -m pip install --quiet "$wheel"
}

secret() {
  "$folder/venv/bin/python" -c 'import secrets; print(secrets.token_hex(16))'
}

make_secrets() {
  password=$(secret)
  echo "$password" > "$folder/secrets/database_password"
  echo "postgresql://vibe:$password@127.0.0.1:${DATABASE_PORT:-5433}/vibe" > "$folder/secrets/database_url"
  password=$(secret)
  echo "requirepass $password" > "$folder/secrets/broker.conf"
  echo "redis://:$password@127.0.0.1:${BROKER_PORT:-6380}/0" > "$folder/secrets/broker_url"
  echo "reader:$(secret)" > "$folder/secrets/flower_auth"
  secret > "$folder/secrets/api_token"
}

make_settings() {
  cat > "$folder/env" <<END
# What every part runs with; a shell that reads it has \`vibe\` and \`celery\`: . $folder/env
export PATH=$folder/venv/bin:\$PATH
export PYTHONPATH=$folder/jobs
export DATABASE_PORT=${DATABASE_PORT:-5433} BROKER_PORT=${BROKER_PORT:-6380}
export FLOWER_PORT=${FLOWER_PORT:-5555}
export VIBE_WEB_PORT=${WEB_PORT:-4000}
export VIBE_HOME=$folder/home
export VIBE_DATABASE_URL_FILE=$folder/secrets/database_url
export VIBE_BROKER_URL_FILE=$folder/secrets/broker_url
export VIBE_API_TOKEN_FILE=$folder/secrets/api_token
# Your modules with jobs, from $folder/jobs, with commas between them.
export VIBE_IMPORTS=
END
}

install_all() {
  install_wheel
  # PostgreSQL's user must be able to reach its folder, and nobody needs more.
  chmod 0711 "$folder"
  mkdir -p "$folder"/{broker,home,jobs,log,run,secrets}
  [ -f "$folder/secrets/api_token" ] || make_secrets
  [ -f "$folder/env" ] || make_settings
  echo "installed; your modules with jobs belong into $folder/jobs, their names into $folder/env"
}

# ---- processes ---------------------------------------------------------------------------------

# Whether a part runs: it holds a lock on its file for as long as it lives.
runs() {
  [ -f "$folder/run/$1" ] && ! flock --nonblock "$folder/run/$1" true
}

# begin NAME COMMAND…: in the background, in a session of its own, with its words in log/NAME.log.
begin() {
  local name=$1
  shift
  rm -f "$folder/run/$name.alive"
  exec 9>> "$folder/run/$name"
  flock --nonblock 9 || fail "$name runs already"
  VIBE_ALIVE_FILE="$folder/run/$name.alive" setsid "$@" < /dev/null >> "$folder/log/$name.log" 2>&1 &
  echo $! > "$folder/run/$name"
  exec 9>&-
  echo "$name: process $(cat "$folder/run/$name")"
}

# until_ready NAME COMMAND…: until the command succeeds.
until_ready() {
  local name=$1 limit=$((SECONDS + ${PATIENCE:-60}))
  shift
  until "$@" > /dev/null 2>&1; do
    runs "$name" || { tail -n 5 "$folder/log/$name.log" >&2; fail "$name has ended, see $folder/log/$name.log"; }
    ((SECONDS < limit)) || fail "$name does not answer, see $folder/log/$name.log"
    sleep 0.2
  done
}

listens() {
  (exec 3<> "/dev/tcp/127.0.0.1/$1")
}

# end NAME [SIGNAL]: ask it to end, wait, and kill what is left.
end() {
  local pid limit=$((SECONDS + ${PATIENCE:-60}))
  runs "$1" || return 0
  pid=$(cat "$folder/run/$1")
  kill -"${2:-TERM}" "$pid" || true
  while runs "$1" && ((SECONDS < limit)); do
    sleep 0.1
  done
  ! runs "$1" || kill -KILL -- "-$pid" || true
  rm -f "$folder/run/$1" "$folder/run/$1.alive"
  echo "$1: ended"
}

# ---- servers -----------------------------------------------------------------------------------

find_postgres() {
  local found
  found=$(command -v initdb || ls /usr/lib/postgresql/*/bin/initdb 2> /dev/null | tail -n 1) || true
  PG_BIN=${PG_BIN:-$(dirname "$(readlink -f "${found:-/none/initdb}")")}
  [ -x "$PG_BIN/initdb" ] || fail "no PostgreSQL found: install it, or name the folder of initdb in PG_BIN"
}

find_server_user() {
  local user=${SERVER_USER:-postgres}
  as_server=()
  [ "$(id -u)" -eq 0 ] || return 0
  id "$user" > /dev/null 2>&1 || fail "no user $user to run PostgreSQL: name one in SERVER_USER"
  as_server=(setpriv --reuid "$(id -u "$user")" --regid "$(id -g "$user")" --clear-groups --)
}

make_database() {
  mkdir -p "$folder/database"
  cp "$folder/secrets/database_password" "$folder/database/password"
  [ "$(id -u)" -ne 0 ] || chown -R "${SERVER_USER:-postgres}" "$folder/database"
  "${as_server[@]}" "$PG_BIN/initdb" --pgdata "$folder/database/data" --username vibe \
    --pwfile "$folder/database/password" --auth scram-sha-256 --encoding UTF8 --locale C \
    >> "$folder/log/database.log"
  rm "$folder/database/password"
}

start_database() {
  begin database "${as_server[@]}" "$PG_BIN/postgres" -D "$folder/database/data" \
    -c listen_addresses=127.0.0.1 -p "$DATABASE_PORT" -c unix_socket_directories=
  until_ready database "$PG_BIN/pg_isready" --host 127.0.0.1 --port "$DATABASE_PORT"
}

name_database() {
  python - <<'END'
import os, psycopg
from pathlib import Path

url = Path(os.environ["VIBE_DATABASE_URL_FILE"]).read_text().strip()
with psycopg.connect(url.removesuffix("vibe") + "postgres", autocommit=True) as connection:
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'vibe'").fetchone():
        connection.execute("CREATE DATABASE vibe")
END
}

start_broker() {
  valkey=$(python -c 'from vibe_tasks.stack.broker import valkey_server; print(valkey_server())')
  begin broker "$valkey" "$folder/secrets/broker.conf" --bind 127.0.0.1 --port "$BROKER_PORT" \
    --maxmemory-policy noeviction --appendonly yes --dir "$folder/broker"
  until_ready broker listens "$BROKER_PORT"
}

# ---- parts -------------------------------------------------------------------------------------

start_worker() {
  REMAP_SIGTERM=SIGQUIT begin "$1" python -m celery -A vibe_tasks worker --hostname "$1@%h" \
    --concurrency 2 --task-events
}

start_beat() {
  begin beat python -m celery -A vibe_tasks beat
}

start_flower() {
  FLOWER_BASIC_AUTH=$(cat "$folder/secrets/flower_auth") begin flower \
    python -m celery -A vibe_tasks flower --address=127.0.0.1 --port="$FLOWER_PORT" --read_only=True
}

start_web() {
  begin web vibe web
}

start_all() {
  cd "$folder"
  . "$folder/env"
  find_postgres
  find_server_user
  [ -f "$folder/database/data/PG_VERSION" ] || make_database
  runs database || start_database
  runs broker || start_broker
  name_database
  vibe db upgrade
  runs one || start_worker one
  runs two || start_worker two
  runs beat || start_beat
  runs flower || start_flower
  runs web || start_web
  until_ready one test -f "$folder/run/one.alive"
  until_ready two test -f "$folder/run/two.alive"
  until_ready beat test -f "$folder/run/beat.alive"
  until_ready flower listens "$FLOWER_PORT"
  until_ready web listens "$VIBE_WEB_PORT"
  echo "dashboard  http://127.0.0.1:$VIBE_WEB_PORT/   token in $folder/secrets/api_token"
  echo "flower     http://127.0.0.1:$FLOWER_PORT/   user and password in $folder/secrets/flower_auth"
}

show_status() {
  local name code=0
  for name in database broker one two beat flower web; do
    if runs "$name"; then
      echo "$name: runs, process $(cat "$folder/run/$name")"
    else
      echo "$name: does not run"
      code=1
    fi
  done
  return $code
}

stop_all() {
  local name
  for name in web flower beat one two broker; do
    end "$name"
  done
  end database INT # at SIGTERM it would wait for whoever is connected
}

case $step in
  install) install_all ;;
  start) start_all ;;
  status) show_status ;;
  stop) stop_all ;;
  *) fail "no step $step: install WHEEL, start, status or stop" ;;
esac
