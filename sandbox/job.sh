# A background job: the command in a shell and session of its own, its exit code in a file.
# Arguments: folder, number, slot of the variables, directory, names of the initial variables.
cd -- "$4" || cd /
if [ -s "$1/v$3" ]; then
    unset $5
    . "$1/v$3"
fi
OSTRO_STEP=job-$2
export OSTRO_STEP
(
    . "$1/job-$2"
)
echo "$?" >|"$1/job-$2.exit"
