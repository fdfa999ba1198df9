#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# seconds: 15
# A guest gets all that its boot memory carries (board/config/growth.h), in one go, and runs on, uses it and gives some back; more is
# refused, by `sluice mem` and on the control socket. BRIM_FORCE goes on until the guest ends (brim-all.sh), and says where.

. "$(dirname "$0")/lib.bash"

: "${BRIM_MEMORY:=192}"
# shellcheck disable=SC2034
printf -v ram '0x0 0x%x' $((BRIM_MEMORY << 20))
tree brim 1 6.12 "$(window_of $((256 << 30)))" "${BRIM_ARGS:-}"
"$SLUICE" check "$work/brim.dts" >"$work/check" 2>&1
carried=$(sed -n 's/.*describe about \([0-9.]* [A-Za-z]*\) of plugged memory.*/\1/p' "$work/check")
check "check-warns" grep -q "256 GiB of window cannot be filled: the guest's $BRIM_MEMORY MiB of boot memory" "$work/check"
echo "# carried: $carried"
run brim
check "boots" booted brim

says() { ! "${@:2}" >"$work/said" 2>&1 && grep -q "$1" "$work/said" || { cat "$work/said"; return 1; }; }
check "more-is-refused" says "$carried is the most that is safe here" "$SLUICE" mem brim 200GiB
check "on-the-socket-too" eval 'qmp brim "{\"execute\":\"qom-set\",\"arguments\":{\"path\":\"vmem0\",\"property\":\"requested-size\",\"value\":$((200 << 30))}}" |
	jq -e ".error.desc | test(\"run out of memory\")"'
check "grows-to-the-brim" "$SLUICE" mem brim "$carried"
check "uses-it" guest brim 300 "guest-tool fill ${BRIM_FILL:-200} 1 && guest-tool verify && guest-tool release"
if [ -n "${BRIM_FORCE:-}" ]; then
	for ((gib = 1; gib < 256; gib++)); do
		"$SLUICE" mem brim "${gib}GiB" --force --timeout 15 >"$work/said" 2>&1 && guest brim 60 true >/dev/null || break
	done
	echo "# the guest ended at $(map_json brim | jq '.[0].plugged / 1048576') MiB"
	check "the-stall-is-explained" grep -q "boot memory, $BRIM_MEMORY MiB, is used up" "$work/said"
else
	check "gives-some-back" "$SLUICE" mem brim 2GiB
fi
done_testing
