# Prints one alert a line, each once and in order. DOORBELL is the server's address,
# SERVICE and CONSOLE are tokens, NUMBER is the order's; the file CURSOR keeps how far
# it came, also over a restart of this script.
curl -fsS "$DOORBELL/api/v1/orders" -H "Authorization: Bearer $SERVICE" -H 'Content-Type: application/json' \
  -d "{\"number\":\"$NUMBER\",\"shopId\":1,\"amount\":1250}" >&2
while sleep 0.2; do
  after=$(cat "$CURSOR" 2>/dev/null || echo 0)
  curl -sN "$DOORBELL/events?shops=1&after=$after" -H "Authorization: Bearer $CONSOLE" | while IFS= read -r line; do
    # An event is id: (the cursor after it), data:, and event: for all but alerts. An
    # empty line ends it: what was cut off before it counts for nothing.
    case $line in
      'id: '*) id=${line#id: } ;;
      'data: '*) data=${line#data: } ;;
      'event: '*) event=${line#event: } ;;
      '')
        if [ -n "$data" ] && [ -z "$event" ]; then printf '%s\n' "$data"; fi
        if [ -n "$id" ]; then printf %s "$id" > "$CURSOR.new" && mv "$CURSOR.new" "$CURSOR"; fi
        id= data= event= ;;
    esac
  done
done
