# Ends the running command and everything that does not belong to a background job; returns when they are gone.
# ostro_count is how many there were at first. No fork: it must work when no process can be made.
if [ -n "$ostro_j" ]; then
    kill -9 "$ostro_j"
    wait "$ostro_j"
    ostro_j=
fi
eval "$ostro_scan"
ostro_first=$ostro_count
ostro_rounds=0
while [ "$ostro_rounds" -lt 20000 ]; do
    # A fork bomb is over when nothing moves and all is reaped: before, the next command cannot be started. Background
    # jobs may move for ever, so beside them what is left alone counts.
    [ "$ostro_count" -gt 0 ] || { [ "$ostro_gone" -gt 0 ] && [ -z "$ostro_jobs" ]; } || break
    # One by one loses against a fork bomb: all at once, at the price of the background jobs.
    if [ "$$" = 1 ] && { [ -z "$ostro_jobs$ostro_guests" ] || [ "$ostro_rounds" -gt 50 ] && [ "$ostro_count" -gt 0 ]; }; then
        kill -9 -1
        ostro_jobs=
    elif [ "$ostro_count" -gt 0 ]; then
        kill -9 $ostro_left
    fi
    ostro_rounds=$((ostro_rounds + 1))
    eval "$ostro_scan"
done
ostro_count=$ostro_first
