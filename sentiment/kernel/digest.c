/* The digest of the sources, by which a library of another version is found out. */

#ifndef SOURCE_DIGEST
#error "SOURCE_DIGEST must be the SHA-256 of the sources; see build.py"
#endif
extern const char source_digest[];
const char source_digest[] = SOURCE_DIGEST;
