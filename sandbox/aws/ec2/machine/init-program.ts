/**
 * The first process of a machine, in Perl because every Debian has that. It starts commands, tells how they end, and takes
 * everything with it when it ends: it is process 1 of a pid namespace, so the kernel kills all the others, also those that
 * left their session. Its standard input is a pipe from the sandbox: when the sandbox is killed, that is closed, and it ends.
 *
 * In: `run ID CWD-IN-HEX`, `kill ID`, `freeze`, `thaw`, `shutdown`. Out: `ready`, `started ID PID`, `exit ID CODE`,
 * `frozen`, `thawed`.
 */
export const INIT_PROGRAM = String.raw`
use strict; use warnings; use POSIX ();
$| = 1;
my (%pid_of, %id_of, @held);
my $frozen = 0;
$SIG{CHLD} = sub {};
$SIG{PIPE} = 'IGNORE';
$SIG{TERM} = 'IGNORE'; $SIG{INT} = 'IGNORE'; $SIG{HUP} = 'IGNORE';

sub start {
  my ($id, $cwd, $out, $err, @command) = @_;
  my $pid = fork();
  if (!defined $pid) { print "exit $id 254\n"; return; }
  if ($pid == 0) {
    $SIG{$_} = 'DEFAULT' for qw(CHLD PIPE TERM INT HUP);
    POSIX::setsid();
    open(STDIN, '<', '/dev/null');
    open(STDOUT, '>', $out) or POSIX::_exit(253);
    open(STDERR, $err eq $out ? '>>' : '>', $err) or POSIX::_exit(253);
    if (!chdir($cwd)) { print STDERR "chdir $cwd: $!\n"; POSIX::_exit(252); }
    exec(@command) or do { print STDERR "$command[0]: $!\n"; POSIX::_exit(127); };
  }
  $pid_of{$id} = $pid; $id_of{$pid} = $id;
  print "started $id $pid\n";
}
sub reap {
  while ((my $pid = waitpid(-1, POSIX::WNOHANG())) > 0) {
    my $id = delete $id_of{$pid};
    next unless defined $id;
    delete $pid_of{$id};
    my $code = ($? & 127) ? 128 + ($? & 127) : $? >> 8;
    print "exit $id $code\n";
  }
}
sub others {
  opendir(my $proc, '/proc') or return ();
  return grep { /^\d+$/ && $_ != $$ } readdir($proc);
}
sub state_of { # A process is gone, a zombie, or stopped.
  open(my $file, '<', "/proc/$_[0]/stat") or return 'gone';
  my $line = <$file> // '';
  return $line =~ /\)\s+(\S)/ ? $1 : 'gone';
}
sub settle { # Until every other process is in one of the states, or the seconds are over.
  my ($states, $seconds) = @_;
  for (1 .. $seconds * 100) {
    reap();
    my @left = grep { index($states, state_of($_)) < 0 && -e "/proc/$_" } others();
    return 1 unless @left;
    select(undef, undef, undef, 0.01);
  }
  return 0;
}
sub told {
  my ($verb, $id, $hex) = split / /, $_[0];
  if ($verb eq 'run' && $frozen) { # Nothing is to change while the volumes are copied.
    push @held, $_[0];
  } elsif ($verb eq 'run') {
    my $at = "/run/commands/$id";
    # As SSM's agent does: by sh, which is no bash on Debian, unless the first line says otherwise.
    start($id, pack('H*', $hex), "$at/stdout", "$at/stderr", '/bin/sh', '-c', "$at/script.sh");
  } elsif ($verb eq 'kill') {
    if (grep { (split / /)[1] eq $id } @held) {
      @held = grep { (split / /)[1] ne $id } @held; print "exit $id 137\n";
    }
    my $pid = $pid_of{$id};
    # Itself, if it has not come so far as to lead a group of its own: else the kill would be lost.
    kill('KILL', -$pid) or kill('KILL', $pid) if defined $pid;
  } elsif ($verb eq 'freeze') {
    $frozen = 1; kill('STOP', -1); settle('TtZX', 10); print "frozen\n";
  } elsif ($verb eq 'thaw') {
    $frozen = 0; kill('CONT', -1); print "thawed\n";
    told($_) for splice @held;
  } elsif ($verb eq 'shutdown') {
    kill('CONT', -1); kill('TERM', -1); settle('ZX', $id); reap(); exit 0;
  }
}
if (-x '/etc/rc.local') { mkdir '/var'; mkdir '/var/log'; start('boot', '/', '/var/log/rc.local.log', '/var/log/rc.local.log', '/bin/bash', '/etc/rc.local'); }
print "ready\n";
my $buffer = '';
while (1) {
  reap();
  my $bits = ''; vec($bits, 0, 1) = 1;
  next unless select($bits, undef, undef, 0.2) > 0;
  my $read = sysread(STDIN, $buffer, 65536, length $buffer);
  next if !defined $read;
  exit 0 if $read == 0;
  while ($buffer =~ s/^([^\n]*)\n//) { told($1); }
}
`;
