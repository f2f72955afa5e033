# Say which lines of .env make, a shell, kubectl and gh would not read alike, and print no value.
# No value ends in a hyphen, as gh reads `---` at the end of a line as YAML. No name stands twice, as
# some of them take the first value and some the last.
BEGIN { FS = "=" }
/\r$/ && !crlf++ { next }
crlf || /^#/ || /^$/ { next }
/^[A-Z][A-Z0-9_]*=([A-Za-z0-9_.\/:@%+,=-]*[A-Za-z0-9_.\/:@%+,=])?$/ && !seen[$1]++ { next }
{
    name = $1
    sub(/^ *(export +)?/, "", name)
    sub(/ +$/, "", name)
    wrong = wrong (wrong ? ", " : "") "line " NR (name ~ /^[A-Z][A-Z0-9_]*$/ ? " (" name ")" : "")
}
END {
    if (crlf)
        print "its lines end in CRLF, as on Windows; run: sed -i 's/\\r$//' .env"
    else if (wrong)
        print wrong ": not NAME=VALUE once, of letters, digits and _./:@%+,=- alone, without quotes," \
            " the last no hyphen"
}
