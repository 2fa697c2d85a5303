// Reads a list of simulations as JSON, writes what IAM would decide for each.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const decisions = []
for (const simulation of JSON.parse(readFileSync(0, 'utf8'))) {
  const { resultType, errors, overallResult } = await runSimulation(simulation, {})
  decisions.push(resultType === 'error' ? { error: JSON.stringify(errors) } : { decision: overallResult })
}
console.log(JSON.stringify(decisions))
