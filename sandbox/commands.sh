# The command loop: reads requests from the channel and never waits for a command, so it can always end one.
#
# A request is a line `MARK VERB STEP ARGUMENTS...`, some followed by lines of text or raw bytes:
#   run STEP LOAD SAVE STRICT INPUT CWD_LINES TEXT_LINES   then the directory's lines, then the command's
#   start STEP NUMBER LOAD LOG_LINES CWD_LINES TEXT_LINES  the same in the background
#   put STEP BYTES FIRST    then a line with a path, empty for the private file `in`, then BYTES raw bytes: (the
#                           beginning of) the standard input of the next `run`
#   kill STEP               end the running command and all that it left
#   poke STEP               answer only if the running command's keeper was killed
#   stop STEP PID           end a background job
#   sync STEP               answer, so that the host knows what became of an earlier request
# LOAD and SAVE are slots 0 and 1 of the variables, SAVE is `-` for none.
#
# A record is `MARK KIND STEP FIELDS...MARK\n`, anywhere in the stream of output:
#   h hello   b begun   e CODE LEFT SAVED CWD ended   k LEFT ended by kill   d keeper died   a PID done
#   f standard input could not be stored   s 0 in step
#
# Processes: this loop M starts a keeper J, which starts the command C, waits and prints the end record.
# Everything in `kill`, `poke` and `stop` is built in: it must work when no process can be made.

# `kill 0` of a command reaches us where the shell has no job control without a terminal (dash, busybox).
trap '' HUP INT QUIT USR1 USR2 PIPE ALRM TERM TSTP
IFS=' ' read -r ostro_m ostro_x </proc/self/stat
ostro_j=
ostro_jobs=
ostro_dd=
ostro_put=0
printf '%sh - %s%s\n' "$ostro_mark" "$ostro_dir" "$ostro_mark"

while IFS=' ' read -r ostro_k ostro_verb ostro_step ostro_a ostro_b ostro_c ostro_d ostro_e ostro_f; do
    [ "$ostro_k" = "$ostro_mark" ] || continue
    case $ostro_verb in
    run | start)
        if [ "$ostro_verb" = start ]; then
            IFS= read -r ostro_log
        fi
        IFS= read -r ostro_cwd
        while [ $((ostro_e -= 1)) -gt 0 ]; do
            IFS= read -r ostro_l
            ostro_cwd=$ostro_cwd$ostro_nl$ostro_l
        done
        IFS= read -r ostro_text
        while [ $((ostro_f -= 1)) -gt 0 ]; do
            IFS= read -r ostro_l
            ostro_text=$ostro_text$ostro_nl$ostro_l
        done
        ;;
    esac
    case $ostro_verb in
    run)
        [ -n "$ostro_j" ] && wait "$ostro_j"
        [ -d "$ostro_dir" ] || mkdir -p "$ostro_dir"
        ostro_in=/dev/null
        if [ "$ostro_d" = 1 ]; then
            ostro_in=$ostro_file
            if [ "$ostro_put" != 0 ]; then
                printf '%sf %s %s\n' "$ostro_mark" "$ostro_step" "$ostro_mark"
                continue
            fi
        fi
        # In bash the command gets a process group of its own and SIGINT as it was. The other shells let it ignore
        # SIGINT and SIGQUIT, as POSIX has it for every background command.
        [ -n "$BASH_VERSION" ] && set -m
        (
            [ -n "$BASH_VERSION" ] && set +m
            (
                # Said by the command's own process: where none could be made, nothing has begun.
                printf '%sb %s %s\n' "$ostro_mark" "$ostro_step" "$ostro_mark"
                exec 2>&1
                trap - HUP INT QUIT USR1 USR2 PIPE ALRM TERM TSTP
                if ! cd -- "$ostro_cwd"; then
                    [ "$ostro_c" = 1 ] && exit 1
                    cd -- "$ostro_workdir" || cd /
                fi
                if [ -s "$ostro_dir/v$ostro_a" ]; then
                    unset $ostro_names
                    . "$ostro_dir/v$ostro_a"
                fi
                OSTRO_STEP=$ostro_step
                export OSTRO_STEP
                if [ "$ostro_b" != - ]; then
                    trap "{
                        ostro_x=\$?
                        set +eux
                        unset OSTRO_STEP
                        export -p >|$ostro_quoted/v$ostro_b && { echo $ostro_step; pwd; } >|$ostro_quoted/d
                        } 2>/dev/null
                        exit \$ostro_x" EXIT
                fi
                # From a file, so that bash counts the lines of the command alone in its messages.
                if { printf '%s\n' "$ostro_text" >|"$ostro_dir/command"; } 2>/dev/null; then
                    set -- ". $ostro_quoted/command"
                else
                    set -- "$ostro_text"
                fi
                unset ostro_a ostro_b ostro_c ostro_cwd ostro_d ostro_dd ostro_dir ostro_e ostro_file ostro_f ostro_grace ostro_in \
                    ostro_j ostro_job ostro_jobs ostro_k ostro_l ostro_log ostro_loop ostro_m ostro_mark ostro_names \
                    ostro_nl ostro_put ostro_quoted ostro_scan ostro_setsid ostro_sh ostro_step ostro_sweep ostro_text ostro_verb \
                    ostro_workdir ostro_x ostro_y ostro_n ostro_q ostro_p ostro_left ostro_count ostro_gone ostro_all ostro_limits ostro_first ostro_rounds ostro_guests
                eval "shift;$1"
            )
            ostro_x=$?
            ostro_saved=0
            ostro_cwd=
            if [ "$ostro_b" != - ]; then
                {
                    IFS= read -r ostro_l
                    if [ "$ostro_l" = "$ostro_step" ]; then
                        ostro_saved=1
                        IFS= read -r ostro_cwd
                        while IFS= read -r ostro_l; do
                            ostro_cwd=$ostro_cwd$ostro_nl$ostro_l
                        done
                    fi
                } <"$ostro_dir/d"
            fi
            ostro_rounds=0
            while eval "$ostro_scan"; [ "$ostro_count" = 0 ] && [ "$ostro_gone" -gt 0 ] && [ "$ostro_rounds" -lt 3 ]; do
                ostro_rounds=$((ostro_rounds + 1))
            done
            if [ "$ostro_count" -gt 0 ] && [ "$ostro_count" -le 16 ]; then
                # What ends by itself at once was no daemon: the end of `cmd > >(tee log)`.
                sleep 0.1 || sleep 1
                eval "$ostro_scan"
            fi
            # So many that come and go while one looks are a fork bomb.
            [ "$ostro_gone" -gt 16 ] && ostro_count=$((ostro_count + ostro_gone))
            printf '%se %s %s %s %s %s%s\n' "$ostro_mark" "$ostro_step" "$ostro_x" "$ostro_count" "$ostro_saved" \
                "$ostro_cwd" "$ostro_mark"
        ) <"$ostro_in" &
        ostro_j=$!
        [ -n "$BASH_VERSION" ] && set +m
        ;;
    put)
        IFS= read -r ostro_l
        ostro_file=${ostro_l:-$ostro_dir/in}
        if [ -z "$ostro_dd" ]; then
            ostro_dd=1
            dd bs=1 count=1 iflag=fullblock </dev/null >/dev/null && ostro_dd=2
        fi
        [ "$ostro_b" = 1 ] && { ostro_put=0; printf '' >|"$ostro_file" || ostro_put=1; }
        # One block is read whole before any of it is written: a full disk leaves the channel in step.
        if [ "$ostro_a" = 0 ]; then
            :
        elif [ "$ostro_dd" = 2 ]; then
            dd bs="$ostro_a" count=1 iflag=fullblock of="$ostro_file" oflag=append conv=notrunc || ostro_put=1
        else
            dd bs=1 count="$ostro_a" >>"$ostro_file" || ostro_put=1
        fi
        ;;
    start)
        printf '%s\n' "$ostro_text" >|"$ostro_dir/job-$ostro_a"
        (
            trap - HUP INT QUIT USR1 USR2 PIPE ALRM TERM TSTP
            exec $ostro_setsid "$ostro_sh" -c "$ostro_job" "${ostro_sh##*/}" "$ostro_dir" "$ostro_a" "$ostro_b" \
                "$ostro_cwd" "$ostro_names"
        ) </dev/null >>"$ostro_log" 2>&1 &
        ostro_jobs="$ostro_jobs $!"
        printf '%sa %s %s%s\n' "$ostro_mark" "$ostro_step" "$!" "$ostro_mark"
        ;;
    kill)
        eval "$ostro_sweep"
        printf '%sk %s %s%s\n' "$ostro_mark" "$ostro_step" "$ostro_count" "$ostro_mark"
        ;;
    poke)
        ostro_l=
        [ -n "$ostro_j" ] && IFS= read -r ostro_l <"/proc/$ostro_j/stat"
        case $ostro_l in
        '' | *') Z '*)
            eval "$ostro_sweep"
            printf '%sd %s %s\n' "$ostro_mark" "$ostro_step" "$ostro_mark"
            ;;
        esac
        ;;
    stop)
        ostro_l=
        for ostro_p in $ostro_jobs; do
            [ "$ostro_p" = "$ostro_a" ] || ostro_l="$ostro_l $ostro_p"
        done
        ostro_jobs=$ostro_l
        kill -9 "$ostro_a"
        wait "$ostro_a"
        eval "$ostro_sweep"
        printf '%sa %s %s%s\n' "$ostro_mark" "$ostro_step" 0 "$ostro_mark"
        ;;
    sync)
        printf '%ss %s %s%s\n' "$ostro_mark" "$ostro_step" 0 "$ostro_mark"
        ;;
    esac
done
exit 42
