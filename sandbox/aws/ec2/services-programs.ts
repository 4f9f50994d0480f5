/** The programs of the services machine: bash, and Perl as far as every Debian has it. */

/** `app start|stop|restart|status`. Status ends with 0 when it runs, 3 when it does not. */
export const APP_COMMAND = String.raw`#!/bin/bash
pid_file=/run/app.pid
running() { [ -s "$pid_file" ] && kill -0 "$(cat "$pid_file")" 2>/dev/null; }
# One at a time: the machine starts it at its own start, while somebody else may ask for it.
alone() { exec 9>/run/app.lock; flock 9; }
case "$1" in
  start)
    alone
    if running; then echo "app is running"; exit 0; fi
    rm -f /run/app.ready
    mkdir -p /var/log
    setsid perl /usr/local/lib/app/server.pl </dev/null >>/var/log/app.log 2>&1 9>&- &
    pid=$!
    echo "$pid" >"$pid_file"
    while [ ! -e /run/app.ready ]; do
      if ! kill -0 "$pid" 2>/dev/null; then rm -f "$pid_file"; echo "app did not start: $(tail -n 1 /var/log/app.log)" >&2; exit 1; fi
      sleep 0.05
    done
    echo "app is running" ;;
  stop)
    alone
    if running; then
      pid=$(cat "$pid_file")
      kill "$pid"
      while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    fi
    rm -f "$pid_file" /run/app.ready
    echo "app is stopped" ;;
  restart) "$0" stop && "$0" start ;;
  status) if running; then echo "app is running"; else echo "app is stopped"; exit 3; fi ;;
  *) echo "usage: app start|stop|restart|status" >&2; exit 2 ;;
esac
`;

/** Listens where its settings say, as the real one: with another machine's address in them it is not reached at its own. */
export const APP_SERVER = String.raw`
use strict; use warnings; use IO::Socket::INET;
sub settings {
  my ($path) = @_; my %of;
  open(my $file, '<', $path) or die "$path: $!\n";
  while (<$file>) { $of{$1} = $2 if /^([A-Z_]+)="?([^"\n]*)"?$/; }
  return %of;
}
my %app = settings('/etc/circleci/app.conf');
my %own = settings($app{SETTINGS});
my $peers = '/opt/nomad/server/raft/peers.json';
if (!-e '/opt/nomad') {
  system('mkdir', '-p', '/opt/nomad/server/raft');
  open(my $file, '>', $peers) or die "$peers: $!\n"; print $file qq(["$own{PRIVATE_ADDRESS}:4647"]\n); close $file;
}
my $server = IO::Socket::INET->new(LocalAddr => $own{PRIVATE_ADDRESS}, LocalPort => 8800, Listen => 16, ReuseAddr => 1)
  or die "cannot listen on $own{PRIVATE_ADDRESS}:8800: $@\n";
$SIG{TERM} = sub { exit 0 }; $SIG{PIPE} = 'IGNORE';
open(my $ready, '>', '/run/app.ready') or die; close $ready;
while (1) {
  my $client = $server->accept or next;
  while (my $line = <$client>) { last if $line =~ /^\r?\n$/; }
  my @builds;
  for my $file (sort glob('/var/lib/circleci/builds/*')) {
    my %build; open(my $in, '<', $file) or next;
    while (<$in>) { $build{$1} = $2 if /^(\w+)=(.*)$/; }
    push @builds, qq({"url":"$build{url}","status":"$build{status}"});
  }
  my $known = ''; if (open(my $in, '<', $peers)) { local $/; $known = <$in> // ''; }
  my $well = index($known, qq("$own{PRIVATE_ADDRESS}:4647")) >= 0;
  my $body = sprintf('{"status":"%s","hostname":"%s","privateAddress":"%s","publicAddress":"%s","builds":[%s]}',
    $well ? 'ok' : 'nomad has no leader: /opt/nomad is of another machine',
    $app{HOSTNAME}, $own{PRIVATE_ADDRESS}, $own{PUBLIC_ADDRESS}, join(',', @builds)) . "\n";
  print $client ($well ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.1 503 Service Unavailable\r\n"),
    "content-type: application/json\r\ncontent-length: ", length($body), "\r\nconnection: close\r\n\r\n$body";
  close $client;
}
`;

/** The addresses of builds; with `--running` of those only that never ended. */
export const LIST_BUILDS = String.raw`#!/bin/bash
for build in /var/lib/circleci/builds/*; do
  [ -e "$build" ] || continue
  [ "$1" != --running ] || grep -q '^status=running$' "$build" || continue
  sed -n 's/^url=//p' "$build"
done
`;

/** `delete-build <url>`; 1 when there is none. */
export const DELETE_BUILD = String.raw`#!/bin/bash
[ $# = 1 ] || { echo "usage: delete-build <url>" >&2; exit 2; }
for build in /var/lib/circleci/builds/*; do
  [ -e "$build" ] && [ "$(sed -n 's/^url=//p' "$build")" = "$1" ] && rm "$build" && echo "deleted $1" && exit 0
done
echo "there is no build $1" >&2
exit 1
`;

/** `circleci dev-console`, as far as the article uses it: `(admin/delete-build "<url>")` on standard input. */
export const CIRCLECI = String.raw`#!/bin/bash
[ "$1" = dev-console ] || { echo "usage: circleci dev-console" >&2; exit 2; }
failed=0
while read -r line; do
  url=$(printf '%s' "$line" | sed -n 's/^(admin\/delete-build "\([^"]*\)")$/\1/p')
  if [ -z "$url" ]; then echo "user=> cannot read: $line"; failed=1; continue; fi
  printf 'user=> '
  /usr/local/bin/delete-build "$url" || failed=1
done
exit $failed
`;
