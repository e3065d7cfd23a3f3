#!/usr/bin/env bash
# dovecot.sh - a private, throw-away Dovecot 2.3 (Debian 12) for tests: IMAP + IMAPS,
# SASL XOAUTH2 / OAUTHBEARER by HTTP token introspection, and PLAIN with one static password.
#
# USAGE
#   dovecot.sh start DIR PORT TLSPORT INTROSPECTION_URL
#   dovecot.sh stop DIR
#
#   DIR                absolute or relative folder, made if absent; everything lives below it:
#                        DIR/conf/{dovecot.conf,oauth2.conf.ext}  the whole configuration
#                        DIR/run    base_dir: sockets and master.pid (the pid file `stop` uses)
#                        DIR/state  state_dir     DIR/log/dovecot.log  everything it logs
#                        DIR/tls/ca.pem   CA to trust (Deno: DENO_CERT or tls.ca; Node: tls.ca or
#                                         NODE_EXTRA_CA_CERTS; mbsync: CertificateFile)
#                        DIR/tls/{cert,key}.pem   leaf for localhost, 127.0.0.1, ::1, signed by it
#                        DIR/mail/USER    Maildir of USER: INBOX = {cur,new,tmp}, folder X = .X/
#   PORT, TLSPORT      IMAP (STARTTLS offered, plaintext auth allowed) and IMAPS, on 127.0.0.1
#   INTROSPECTION_URL  http://127.0.0.1:NNNN/introspect . Dovecot asks it once for each login
#                      (no auth cache). It must answer 200 with JSON {"active":true,"email":USER,"scope":"mail"}
#                      where USER is exactly the IMAP user name. 401, "active":false or another
#                      USER: NO [AUTHENTICATIONFAILED]. 500: NO [UNAVAILABLE], a temporary failure.
#                      It need not be up when Dovecot starts.
#
# ENVIRONMENT (all optional)
#   INTROSPECTION_MODE  auth (default): GET, "Authorization: Bearer TOKEN"
#                       get:  GET INTROSPECTION_URL+TOKEN (so the URL must end in "?token=")
#                       post: POST INTROSPECTION_URL, form "token=TOKEN" (RFC 7662)
#                       (get appends "&client_id=&client_secret=" too)
#   OAUTH_CLIENT_ID, OAUTH_CLIENT_SECRET   sent as form fields in post mode (client_secret_post)
#   IMAP_PASSWORD       password of every user for AUTH=PLAIN / LOGIN (default: secret)
#   IMAP_COMPRESS       yes: advertise COMPRESS=DEFLATE (default: no)
#   IMAP_MAXCONN        mail_max_userip_connections (default 200; Dovecot's own default is 10)
#   AUTH_MECHANISMS     default "xoauth2 oauthbearer plain"
#   AUTH_PENALTY_MODE   0 (default) turns off the per-IP penalty that delays every login, good ones
#                       too, by up to 15 s after failed ones; 0600 is Dovecot's own behaviour
#   SPECIAL_FOLDERS     no: no folders are made by themselves, and none has a special use (default: yes)
#   FAIL_DELAY          auth_failure_delay (default "0 secs"; Dovecot's own default is 2 secs)
#
# USERS  Run as root it needs the system users `dovecot` and `dovenull` (made by Debian's
#   dovecot-core) and owns the mail as `mail` (uid 8, in every Debian). Nothing else is needed and
#   no user is created. Not root: every process runs as you and chroot is off.
#   Every user name is accepted (static userdb); a mailbox is made on first login.
# NEEDS  dovecot-imapd, openssl. /etc/dovecot is never read or written; no service is started.
#   Seed Maildirs while it is down or up; files must be readable and writable by the mail user
#   (as root: chown -R mail:mail DIR/mail ; `start` does that for you each time).
# EXIT   0 listening on both ports / stopped (or was not running); 1 failed, reason on stderr.
set -euo pipefail

die() { echo "dovecot.sh: $*" >&2; exit 1; }
usage() { sed -n '2,/^set -euo/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2; exit 1; }

DOVECOT=${DOVECOT_BIN:-/usr/sbin/dovecot}

# Is PID the master of the instance in $DIR? Guards against a stale pid file and a reused pid.
ours() {
  local pid=$1
  [[ $pid =~ ^[0-9]+$ ]] && [[ -r /proc/$pid/cmdline ]] &&
    tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qxF -- "$DIR/conf/dovecot.conf"
}

make_tls() {
  local t=$DIR/tls
  [[ -s $t/cert.pem ]] && openssl x509 -checkend 3600 -noout -in "$t/cert.pem" >/dev/null 2>&1 && return
  # A separate CA and leaf: rustls (Deno) refuses a CA certificate used as a server's own.
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
    -subj "/CN=test IMAP CA" -addext basicConstraints=critical,CA:TRUE \
    -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$t/ca.key" -out "$t/ca.pem" 2>/dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=localhost" \
    -keyout "$t/key.pem" -out "$t/leaf.csr" 2>/dev/null
  printf '%s\n' 'basicConstraints=critical,CA:FALSE' 'keyUsage=critical,digitalSignature' \
    'extendedKeyUsage=serverAuth' 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1' >"$t/leaf.ext"
  openssl x509 -req -in "$t/leaf.csr" -CA "$t/ca.pem" -CAkey "$t/ca.key" -CAcreateserial -days 30 \
    -extfile "$t/leaf.ext" -out "$t/cert.pem" 2>/dev/null
  chmod 600 "$t"/*.key "$t/key.pem"; chmod 644 "$t/ca.pem" "$t/cert.pem"
}

start() {
  local port=$1 tlsport=$2 url=$3 p
  [[ -x $DOVECOT ]] || die "$DOVECOT not found: apt-get install dovecot-imapd"
  command -v openssl >/dev/null || die "openssl not found"
  (( ${#DIR} <= 70 )) || die "DIR is ${#DIR} characters: unix socket paths below it would pass 107"
  if [[ -s $DIR/run/master.pid ]] && ours "$(cat "$DIR/run/master.pid")"; then
    die "already running from $DIR (pid $(cat "$DIR/run/master.pid"))"
  fi
  for p in "$port" "$tlsport"; do
    if (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null; then die "port $p is already in use"; fi
  done
  rm -rf "$DIR/run"   # stale sockets: a dead anvil-auth-penalty one stalls every login for 5 s
  mkdir -p "$DIR"/{conf,run,state,log,tls,mail,home}

  local mailuser mailgroup users
  if (( EUID == 0 )); then
    for p in dovecot dovenull mail; do id -u "$p" >/dev/null 2>&1 || die "system user '$p' is missing"; done
    mailuser=mail mailgroup=mail
    users="default_internal_user = dovecot
default_internal_group = dovecot
default_login_user = dovenull"
    # dovenull, dovecot and mail must be able to walk down to DIR.
    chmod 755 "$DIR" "$DIR/mail" "$DIR/home" "$DIR/tls" "$DIR/run"
    p=$DIR
    while [[ $p != / ]]; do
      [[ $(stat -c %A "$p") == *x || $(stat -c %A "$p") == *t ]] || die "$p is not world-searchable (chmod o+x), so user mail cannot reach $DIR"
      p=$(dirname "$p")
    done
    chown -R mail:mail "$DIR/mail" "$DIR/home"
  else
    mailuser=$(id -un) mailgroup=$(id -gn)
    users="default_internal_user = $mailuser
default_internal_group = $mailgroup
default_login_user = $mailuser
service anvil {
  chroot =
}
service stats {
  chroot =
}"
  fi
  make_tls

  local plugins= login_chroot=login
  [[ ${IMAP_COMPRESS:-no} == yes ]] && plugins="imap_zlib"
  (( EUID == 0 )) || login_chroot=

  cat >"$DIR/conf/oauth2.conf.ext" <<CONF
introspection_mode = ${INTROSPECTION_MODE:-auth}
introspection_url = $url
username_attribute = email
username_format = %u
active_attribute = active
active_value = true
force_introspection = yes
client_id = ${OAUTH_CLIENT_ID:-}
client_secret = ${OAUTH_CLIENT_SECRET:-}
timeout_msecs = 5000
max_parallel_connections = 20
scope = mail
CONF

  local special=
  [[ ${SPECIAL_FOLDERS:-yes} == no ]] || special="  mailbox Sent {
    auto = subscribe
    special_use = \\Sent
  }
  mailbox Drafts {
    auto = subscribe
    special_use = \\Drafts
  }
  mailbox Trash {
    auto = subscribe
    special_use = \\Trash
  }
  mailbox Archive {
    auto = subscribe
    special_use = \\Archive
  }
  mailbox Junk {
    auto = subscribe
    special_use = \\Junk
  }"

  cat >"$DIR/conf/dovecot.conf" <<CONF
base_dir = $DIR/run
state_dir = $DIR/state
instance_name = test-$(basename "$DIR")
log_path = $DIR/log/dovecot.log
log_timestamp = "%Y-%m-%d %H:%M:%S "
listen = 127.0.0.1
protocols = imap
$users
default_vsz_limit = 1G

ssl = yes
ssl_cert = <$DIR/tls/cert.pem
ssl_key = <$DIR/tls/key.pem
ssl_min_protocol = TLSv1.2

disable_plaintext_auth = no
auth_mechanisms = ${AUTH_MECHANISMS:-xoauth2 oauthbearer plain}
auth_failure_delay = ${FAIL_DELAY:-0 secs}
# keep "+", "=" and friends legal in user names; names are used as given, in lower case
auth_username_chars = abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@+=
auth_username_format = %Lu

passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = $DIR/conf/oauth2.conf.ext
}
passdb {
  driver = static
  mechanisms = plain login
  args = password=${IMAP_PASSWORD:-secret}
}
userdb {
  driver = static
  args = uid=$mailuser gid=$mailgroup home=$DIR/home/%u allow_all_users=yes
}
first_valid_uid = 1
mail_location = maildir:$DIR/mail/%u
mail_fsync = never

namespace inbox {
  inbox = yes
  separator = /
$special
}

protocol imap {
  mail_max_userip_connections = ${IMAP_MAXCONN:-200}
  mail_plugins = $plugins
}
service imap-login {
  chroot = $login_chroot
  # one process for many connections: the default (one each, 100 at most) caps TLS connections at 100
  service_count = 0
  client_limit = 2000
  process_min_avail = 1
  process_limit = 4
  inet_listener imap {
    address = 127.0.0.1
    port = $port
  }
  inet_listener imaps {
    address = 127.0.0.1
    port = $tlsport
    ssl = yes
  }
}
service imap {
  process_limit = 1000
}
# no growing delay (2, 4, 8, 15 s for everyone on 127.0.0.1) after failed logins
service anvil {
  client_limit = 5000
  unix_listener anvil-auth-penalty {
    mode = ${AUTH_PENALTY_MODE:-0}
  }
}
service auth {
  client_limit = 5000
}
CONF

  # all three descriptors away: a daemon that kept the caller's stdout would hang a caller reading a pipe
  "$DOVECOT" -c "$DIR/conf/dovecot.conf" </dev/null >"$DIR/log/start.log" 2>&1 ||
    { cat "$DIR/log/start.log" >&2; die "dovecot did not start; see $DIR/log/"; }
  for _ in $(seq 100); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port" && read -t 2 -r l <&3 && [[ $l == '* OK'* ]]) 2>/dev/null &&
       (exec 3<>"/dev/tcp/127.0.0.1/$tlsport") 2>/dev/null; then
      echo "dovecot: pid $(cat "$DIR/run/master.pid"), imap 127.0.0.1:$port, imaps 127.0.0.1:$tlsport, ca $DIR/tls/ca.pem"
      return 0
    fi
    sleep 0.1
  done
  tail -5 "$DIR/log/dovecot.log" >&2 || true
  stop || true
  die "no IMAP greeting on 127.0.0.1:$port in 10 s"
}

stop() {
  local f=$DIR/run/master.pid pid
  [[ -s $f ]] || { echo "dovecot: not running in $DIR"; return 0; }
  pid=$(cat "$f")
  if ! ours "$pid"; then
    echo "dovecot: not running in $DIR (stale pid file removed)"; rm -f "$f"; return 0
  fi
  local kids; kids=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null || true)
  kill -TERM "$pid"            # the master takes its children down with it...
  local i c
  for i in $(seq 100); do
    ours "$pid" || { echo "dovecot: stopped (pid $pid)"; return 0; }
    # ...but waits up to 10 s for an imap process whose client does not read or close
    if (( i == 10 )); then
      for c in $kids; do
        [[ $(awk '{print $4}' "/proc/$c/stat" 2>/dev/null) == "$pid" ]] && kill -KILL "$c" 2>/dev/null || true
      done
    fi
    sleep 0.1
  done
  die "pid $pid is still there after 10 s"
}

case ${1:-} in
  start) [[ $# -eq 5 ]] || usage; mkdir -p "$2"; DIR=$(cd "$2" && pwd -P); start "$3" "$4" "$5" ;;
  stop)  [[ $# -eq 2 ]] || usage; [[ -d $2 ]] || { echo "dovecot: no $2"; exit 0; }; DIR=$(cd "$2" && pwd -P); stop ;;
  *) usage ;;
esac
