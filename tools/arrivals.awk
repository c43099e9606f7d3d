# tools/arrivals.awk: reads the log of postern-smtpd(8), passes it on to standard error, and tells of each accepted
# message in one line of standard output: from whom to whom, its subject, the file in $SPOOL/new.
#
# Strangers' words are made harmless as in the log: an octet that is not printable becomes \xNN, a long text is cut.

BEGIN {
	for (i = 1; i < 256; i++)
		byte[sprintf("%c", i)] = i
}

# show(TEXT, MOST): TEXT, printable, cut after so many characters
function show(text, most,    out, c, i) {
	if (text !~ /[^ -~]/ && length(text) <= most)
		return text
	for (i = 1; i <= length(text) && i <= most; i++) {
		c = substr(text, i, 1)
		out = out (c ~ /[ -~]/ ? c : sprintf("\\x%02x", byte[c]))
	}
	return out (length(text) > most ? "..." : "")
}

# field(NAME): the value of that pair of the log's line
function field(name) {
	return match($0, " " name "=[^ ]*") ? substr($0, RSTART + length(name) + 2, RLENGTH - length(name) - 2) : ""
}

# place(ID): the message's file. Its name has the process and the number of the message, which ID has, too: in base 36
# seconds and, in the last 22 bits, the process; a dot; the number.
function place(id,    part, process, i, command, file) {
	split(id, part, ".")
	if (id !~ /^[0-9a-z]+\.[0-9]+$/)
		return ""
	for (i = 1; i <= length(part[1]); i++)
		process = (process * 36 + index("0123456789abcdefghijklmnopqrstuvwxyz", substr(part[1], i, 1)) - 1) % 4194304
	command = "for f in \"$SPOOL/new/\"*P" process "_" part[2] ".*; do printf '%s\\n' \"$f\"; done"
	while ((command | getline file) > 0)
		if (read_message(file, part[1]))
			break
		else
			file = ""
	close(command)
	return file
}

# read_message(FILE, SESSION): if it is this session's, from, to and subject are filled in. The fields on top are
# Postern's own; the same fields further down are not believed.
function read_message(file, session,    line, name, ours, right) {
	from = to = subject = name = ""
	recipients = 0
	ours = 1
	while ((getline line < file) > 0 && line != "") {
		if (line ~ /^[ \t]/) {
			if (name == "Subject" && length(subject) <= 1000)
				subject = subject line
			continue
		}
		name = line
		sub(/:.*/, "", name)
		ours = ours && name ~ /^(Return-Path|Received|X-Postern-[A-Za-z]*)$/
		sub(/^[^:]*:[ \t]*/, "", line)
		if (ours && name == "X-Postern-Session")
			right = line == session
		else if (ours && name == "X-Postern-From")
			from = line
		else if (ours && name == "X-Postern-To" && recipients++ < 3)
			to = to " to=" show(line, 100)
		else if (tolower(name) == "subject" && subject == "") {
			subject = line
			name = "Subject"
		}
	}
	close(file)
	return right
}

# tell(ID): a message that was kept
function tell(id,    file) {
	file = place(id)
	if (file == "") {
		print "mail id=" id " size=" field("size") " place=" field("place")
		return
	}
	sub(/^\.\//, "", file)
	gsub(/\/\/+/, "/", file)
	gsub(/["\\]/, "\\\\&", subject)
	if (recipients > 3)
		to = to " and " recipients - 3 " more"
	print "mail from=" show(from, 100) to " subject=\"" show(subject, 100) "\" file=" show(file, 1000)
}

{
	print show($0, 4000) > "/dev/stderr"
	fflush("/dev/stderr")
}
/^event=message / && (/ verdict=accept/ || / reason=refuse/) {
	tell(field("id"))
	fflush()
}
