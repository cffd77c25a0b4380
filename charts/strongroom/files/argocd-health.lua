-- Health of a ManagedSecret or RotationSchedule for Argo CD, read off the kstatus conditions.
local health = {status = "Progressing", message = "waiting for the controller"}
if obj.status == nil or obj.status.conditions == nil then
  return health
end
if obj.status.observedGeneration ~= nil and obj.metadata.generation ~= nil
    and obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end
if obj.spec ~= nil and obj.spec.suspend == true then
  return {status = "Suspended", message = "spec.suspend is true"}
end
local ready, stalled
for _, condition in ipairs(obj.status.conditions) do
  if condition.type == "Ready" then ready = condition end
  if condition.type == "Stalled" then stalled = condition end
end
if ready ~= nil and ready.status == "True" then
  return {status = "Healthy", message = ready.message}
end
if stalled ~= nil and stalled.status == "True" then
  return {status = "Degraded", message = stalled.reason .. ": " .. stalled.message}
end
if ready ~= nil and ready.status == "False" then
  return {status = "Degraded", message = ready.reason .. ": " .. ready.message}
end
if ready ~= nil then health.message = ready.message end
return health
