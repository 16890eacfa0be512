package password

// linkingGroups is half of a temporary password: a linking code is typed beside a
// right password and a few times an hour at most, and 8 signs of 31, 39 bits, are
// what a caller takes down without a mistake. Somebody who has the password and
// tries for the whole day that a code may live finds one in seven billion
// (NIST SP 800-63B-4 §3.1.2: 20 bits, and a limit on tries below 64).
const linkingGroups = 2

// LinkingCode returns a new linking code such as "k7wp-3mxd" (S61).
func LinkingCode() string { return group(pick(linkingGroups * temporaryGroup)) }

// AsLinkingCode reads what a person typed as a linking code, as AsTemporary does.
func AsLinkingCode(typed string) string { return heard(typed, linkingGroups*temporaryGroup) }
