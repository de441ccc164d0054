# Medians and quartiles: lines of a label, a tab and a number; one line for each label, in the order in which they come.
BEGIN { FS = "\t" }
{
  if (!($1 in count)) order[++labels] = $1
  value[$1, ++count[$1]] = $2
}
function at(label, part,   place, low, high) {
  place = 1 + (count[label] - 1) * part
  low = int(place)
  high = low < count[label] ? low + 1 : low
  return value[label, low] + (place - low) * (value[label, high] - value[label, low])
}
END {
  for (l = 1; l <= labels; l++) {
    label = order[l]
    for (i = 2; i <= count[label]; i++) {
      moved = value[label, i]
      for (j = i - 1; j > 0 && value[label, j] > moved; j--) value[label, j + 1] = value[label, j]
      value[label, j + 1] = moved
    }
    printf "%-72s %8.3f (%.3f to %.3f) of %d\n", label, at(label, .5), at(label, .25), at(label, .75), count[label]
  }
}
