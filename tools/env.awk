# List the lines of .env that make, a shell, kubectl and gh would not read alike, without their values.
# No value ends in a hyphen, as gh reads `---` at the end of a line as YAML. No name stands twice, as
# some of them take the first value and some the last.
BEGIN { FS = "=" }
/^#/ || /^$/ { next }
/^[A-Z][A-Z0-9_]*=([A-Za-z0-9_.\/:@%+,=-]*[A-Za-z0-9_.\/:@%+,=])?$/ && !seen[$1]++ { next }
{
    name = $1
    sub(/^ *(export +)?/, "", name)
    sub(/ +$/, "", name)
    printf "%sline %d%s", (bad++ ? ", " : ""), NR, (name ~ /^[A-Z][A-Z0-9_]*$/ ? " (" name ")" : "")
}
