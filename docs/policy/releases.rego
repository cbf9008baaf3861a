# On working days, when agents are at work, no more than a few interactions of a route may be released at once.
package reconciler.releases

import rego.v1

most := 20

weekend := {"Saturday", "Sunday"}

deny contains message if {
	not time.weekday(time.now_ns()) in weekend
	some route, addresses in released
	count(addresses) > most
	message := sprintf("%d interactions of the route %s to release, more than %d on a working day", [count(addresses), route, most])
}

# What is released by a replace, or while an unknown outcome is settled, counts too: an agent may be handling it.
released[route] contains change.address if {
	some change in input.changes
	some request in change.requests
	request.kind != "dispatch"
	sides := [side | some side in [change.before, change.after]; side != null]
	route := sides[0].route
}
