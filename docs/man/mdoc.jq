# A manual page (mdoc) of a program, from what it says of itself: PROGRAM --experimental-dump-help.
#
#   jq -r --arg date "November 25, 2026" --rawfile more vhost-crypto.1.in -f mdoc.jq
#
# `more` is what the program does not know of itself: the sections behind DESCRIPTION.

# Text that is nothing but text.
def plain:
  gsub("\\\\"; "\\e") | gsub("…"; "...") | gsub("-"; "\\-")
  | split("\n") | map(if test("^[.']") then "\\&" + . else . end) | join("\n");

# Prose: a sentence begins a line, and lines are short.
def prose:
  gsub("(?<end>[a-z0-9)`\"%][.?!]) +(?<next>[A-Z`])"; "\(.end)\n\(.next)")
  | split("\n")
  | map(reduce (split(" ")[]) as $word ([""];
      if .[-1] == "" then .[-1] = $word
      elif (.[-1] | length) + ($word | length) < 70 then .[-1] += " " + $word
      else . + [$word] end) | join("\n"))
  | join("\n") | plain;

def literal:
  ".Bd -literal -offset indent\n" + (map(plain) | join("\n")) + "\n.Ed";

# Paragraphs; lines that begin with blanks are shown as they are.
def discussion:
  split("\n\n") | map(
    split("\n") as $lines
    | ($lines | map(select(startswith("  ") | not))) as $text
    | ($lines | map(select(startswith("  ")) | .[2:])) as $shown
    | (if $text == [] then [] else [".Pp", ($text | join("\n") | prose)] end)
      + (if $shown == [] then [] else [$shown | literal] end)
    | join("\n"))
  | join("\n");

def spelled:
  if .kind == "long" then "Fl \\-" + (.name | plain)
  elif .kind == "short" then "Fl " + .name
  else "Fl " + (.name | plain) end;

def value: if .kind == "option" then " Ar " + (.valueName | plain) else "" end;

def item:
  if .kind == "positional" then ".It Ar " + (.valueName | plain)
  else ".It " + (value as $value
      | [.names[] | select(.kind != "longWithSingleDash") | spelled + $value] | join(" , ")) end;

def entry:
  item + "\n" + ((.abstract // "Show this help.") | prose)
  + (if .kind == "option" and .defaultValue then "\nThe default is " + (.defaultValue | plain) + "." else "" end);

def shown: [.arguments[]? | select(.shouldDisplay)];
def common: (.preferredName.name // "") | IN("help", "version");

def list: if . == [] then empty else
  ".Bl -tag -width Ds", (.[] | entry), ".El" end;

def usage($name):
  ".Nm" + $name,
  ([.arguments[]? | select(.shouldDisplay and (common | not))][]
   | (if .kind == "positional" then "Ar " + (.valueName | plain) else (.preferredName | spelled) + value end)
     as $words
   | ".Op " + $words + (if .isRepeating then " ..." else "" end));

.command as $root
| [$root.subcommands[]? | select(.commandName != "help")] as $parts
| ".Dd " + $date,
  ".Dt " + ($root.commandName | ascii_upcase) + " 1",
  ".Os",
  ".Sh NAME",
  ".Nm " + ($root.commandName),
  ".Nd " + ($root.abstract | rtrimstr(".") | plain),
  ".Sh SYNOPSIS",
  (if $parts == [] then ($root | usage("")) else ($parts[] | usage(" Cm " + (.commandName | plain))) end),
  ".Sh DESCRIPTION",
  ($root.discussion | discussion | ltrimstr(".Pp\n")),
  ".Pp",
  "The options are:",
  ($root | shown | list),
  ($parts[]
   | ".Ss " + .commandName,
     (.abstract | prose),
     (if .discussion then .discussion | discussion else empty end),
     ([shown[] | select(common | not)] | list)),
  ($more | rtrimstr("\n"))
