# Whatever is dispatched names the skill of the team that owns it.
package reconciler.owners

import rego.v1

deny contains message if {
	some change in input.changes
	some request in change.requests
	request.kind == "dispatch"
	not owned(change.after)
	message := sprintf("%s names no skill owner-… (%s:%d)", [change.address, change.after.file, change.after.line])
}

owned(side) if {
	some skill in side.skills
	startswith(skill, "owner-")
}
