# Sets ostro_left and ostro_count: the processes that are neither ours nor of a background job. No fork.
# ostro_gone counts those that ended between the listing and the look at them, or wait for the supervisor to reap them:
# what the former started may not be listed, the latter are still processes to the limit on those.
#
# Ours are the supervisor ($$), the command loop ($ostro_m) and the loop's children (keepers and job leaders).
# A background job's are those of its session and its descendants.
ostro_left=
ostro_guests=
ostro_count=0
ostro_gone=0
if [ "$$" = 1 ]; then
    ostro_all=
    for ostro_p in /proc/[0-9]*; do
        ostro_all="$ostro_all ${ostro_p#/proc/}"
    done
else
    # No process namespace: what descends from the supervisor, which adopts the orphans (child subreaper).
    ostro_all=
    ostro_l=" $$"
    while [ -n "${ostro_l# }" ]; do
        ostro_n=$ostro_l
        ostro_l=
        for ostro_p in $ostro_n; do
            for ostro_q in "/proc/$ostro_p/task/"*/children; do
                ostro_y=
                IFS= read -r ostro_y <"$ostro_q"
                ostro_l="$ostro_l $ostro_y"
            done
        done
        ostro_all="$ostro_all $ostro_l"
    done
fi
for ostro_p in $ostro_all; do
    [ "$ostro_p" = "$$" ] || [ "$ostro_p" = "$ostro_m" ] && continue
    ostro_l=
    IFS= read -r ostro_l <"/proc/$ostro_p/stat"
    if [ -z "$ostro_l" ]; then
        ostro_gone=$((ostro_gone + 1))
        continue
    fi
    # After the name, which may hold anything: state, parent, group, session.
    set -- ${ostro_l##*') '}
    case $1 in
    Z | X)
        [ "$2" = "$$" ] && ostro_gone=$((ostro_gone + 1))
        continue
        ;;
    esac
    [ "$2" = "$ostro_m" ] && continue
    if [ "$2" = 0 ] && [ "$$" = 1 ]; then
        # Came in from outside (docker exec): the relay to the egress proxy.
        ostro_guests="$ostro_guests $ostro_p"
        continue
    fi
    if [ -n "$ostro_jobs" ]; then
        case " $ostro_jobs " in
        *" $4 "*) continue ;;
        esac
        ostro_q=$2
        while [ "${ostro_q:-0}" -gt 1 ] && [ "$ostro_q" != "$$" ]; do
            case " $ostro_jobs " in
            *" $ostro_q "*) continue 2 ;;
            esac
            ostro_l=
            IFS= read -r ostro_l <"/proc/$ostro_q/stat"
            set -- ${ostro_l##*') '}
            ostro_q=$2
        done
    fi
    ostro_left="$ostro_left $ostro_p"
    ostro_count=$((ostro_count + 1))
done
