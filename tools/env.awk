# Names the lines of .env that make, a shell, kubectl and gh would not all read the same, and never
# says what is in them. gh takes `---` at the end of a line for YAML's, so no value ends in a hyphen;
# of two lines with one name each takes another.
BEGIN { FS = "=" }
/^#/ || /^$/ { next }
/^[A-Z][A-Z0-9_]*=([A-Za-z0-9_.\/:@%+,=-]*[A-Za-z0-9_.\/:@%+,=])?$/ && !seen[$1]++ { next }
{
    name = $1
    sub(/^ *(export +)?/, "", name)
    sub(/ +$/, "", name)
    printf "%sline %d%s", (bad++ ? ", " : ""), NR, (name ~ /^[A-Z][A-Z0-9_]*$/ ? " (" name ")" : "")
}
