# The same as relay_inside.py, for images that have Perl (every Debian has) but no Python.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;

$SIG{PIPE} = 'IGNORE';
my $listener = IO::Socket::INET->new(
    LocalAddr => '127.0.0.1', LocalPort => $ARGV[0], Listen => 64, ReuseAddr => 1, Proto => 'tcp',
) or die "listen: $!";
my $select = IO::Select->new(\*STDIN, $listener);
my (%clients, %numbers);
my ($heard, $last) = ('', 0);

sub put_all {
    my ($handle, $data) = @_;
    my $at = 0;
    while ($at < length $data) {
        my $sent = syswrite($handle, $data, length($data) - $at, $at);
        return 0 unless defined $sent;
        $at += $sent;
    }
    return 1;
}

sub say_it {
    my ($number, $data) = @_;
    exit 0 unless put_all(\*STDOUT, pack('NN', $number, length $data) . $data);
}

sub forget {
    my ($number) = @_;
    my $client = delete $clients{$number} or return;
    $select->remove($client);
    delete $numbers{$client};
    close $client;
}

sub hear {
    while (length $heard >= 8) {
        my ($number, $length) = unpack('NN', $heard);
        last if length $heard < 8 + $length;
        my $data = substr($heard, 8, $length);
        $heard = substr($heard, 8 + $length);
        next unless exists $clients{$number};
        if (!$length) { forget($number); }
        elsif (!put_all($clients{$number}, $data)) { forget($number); say_it($number, ''); }
    }
}

say_it(0, '');
while (1) {
    for my $handle ($select->can_read) {
        if ($handle == $listener) {
            my $client = $listener->accept or next;
            $clients{++$last} = $client;
            $numbers{$client} = $last;
            $select->add($client);
            say_it($last, '');
        } elsif ($handle == \*STDIN) {
            my $count = sysread(STDIN, my $data, 65536);
            exit 0 unless $count;
            $heard .= $data;
            hear();
        } elsif (exists $numbers{$handle}) {
            my $number = $numbers{$handle};
            my $count = sysread($handle, my $data, 65536);
            say_it($number, $count ? $data : '');
            $select->remove($handle) unless $count;
        }
    }
}
