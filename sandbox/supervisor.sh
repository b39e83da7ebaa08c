# The first process of a sandbox (PID 1 where there is a process namespace): keeps the command loop alive.
#
# The host sends this text over the channel after a few assignments (sandbox/shell.py, `boot_program`):
#   ostro_mark     unguessable prefix of every line in and of every record out
#   ostro_dir      folder for saved variables and the like; ostro_quoted the same, quoted for the shell
#   ostro_limits   `ulimit` commands
#   ostro_grace    seconds to live on after the host went away
#   ostro_loop, ostro_job, ostro_scan, ostro_sweep   the texts of commands.sh, job.sh, scan.sh and sweep.sh
#
# No functions: everything is evaluated text, so that a command sees neither functions nor a function's scope.
# `kill -9 -1` reaches every process of the machine but PID 1 and the caller, hence the test of $$ everywhere.

exec 3<&0 </dev/null
mkdir -p "$ostro_dir" 2>/dev/null
if [ ! -w "$ostro_dir" ]; then
    ostro_dir=/tmp/.ostro
    ostro_quoted=$ostro_dir
    mkdir -p "$ostro_dir"
fi
printf '' >"$ostro_dir/v0"
printf '' >"$ostro_dir/v1"
printf '' >"$ostro_dir/d"
printf '' >"$ostro_dir/command"
ostro_nl='
'
ostro_sh=$(command -v bash || command -v sh)
ostro_setsid=$(command -v setsid)

# The names of the variables at the start, so that an `unset` of one of them persists too. A line inside a
# value that looks like a variable only makes a name that does not exist.
unset ostro_x OLDPWD
export PWD
export -p >"$ostro_dir/v0"
ostro_names=
while IFS= read -r ostro_l; do
    case $ostro_l in
    'export '* | 'declare -x '*)
        ostro_l=${ostro_l#export }
        ostro_l=${ostro_l#declare -x }
        ostro_l=${ostro_l%%=*}
        case $ostro_l in
        '' | [0-9]* | *[!A-Za-z0-9_]*) ;;
        *) ostro_names="$ostro_names $ostro_l" ;;
        esac
        ;;
    esac
done <"$ostro_dir/v0"

trap 'if [ "$$" = 1 ]; then kill -9 -1; else ostro_m=0; eval "$ostro_scan"; kill -9 $ostro_left; fi' USR1
trap '' HUP INT QUIT USR2 PIPE ALRM TERM TSTP
exec 2>/dev/null
eval "$ostro_limits"

while :; do
    # Whatever killed the command loop may have left others running. When processes were used up, a fork works
    # again only after the dead are reaped: `jobs` does that without one.
    if [ "$$" = 1 ]; then
        kill -9 -1
        ostro_n=0
        while set -- /proc/[0-9]*; [ "$#" -gt 1 ] && [ "$ostro_n" -lt 5000 ]; do
            kill -9 -1
            jobs >/dev/null
            ostro_n=$((ostro_n + 1))
        done
    else
        ostro_m=0
        ostro_jobs=
        eval "$ostro_scan"
        [ -n "$ostro_left" ] && kill -9 $ostro_left
    fi
    # Not `command eval`, which would survive a failed fork: an error in a command would then unwind to here in
    # dash and busybox, and the command would go on as a second supervisor.
    ( eval "$ostro_loop" ) <&3 3<&- &
    ostro_m=$!
    wait "$ostro_m"
    [ "$?" = 42 ] && break
done

# The host is gone. Nothing may run on; the files stay until the grace period is over.
if [ "$$" = 1 ]; then
    kill -9 -1
else
    ostro_m=0
    ostro_jobs=
    eval "$ostro_scan"
    [ -n "$ostro_left" ] && kill -9 $ostro_left
fi
[ "$ostro_grace" -gt 0 ] && sleep "$ostro_grace"
exit 0
