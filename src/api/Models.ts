/** The nouns of the domain under the names that the OpenAPI document gives them. */
import * as AccountModel from "../domain/Account.ts"
import * as ApiKeyModel from "../domain/ApiKey.ts"
import * as AuditChainModel from "../domain/AuditChain.ts"
import * as AuditModel from "../domain/AuditEntry.ts"
import * as ConnectSessionModel from "../domain/ConnectSession.ts"
import * as ErasureModel from "../domain/Erasure.ts"
import * as EventModel from "../domain/Event.ts"
import * as GrantModel from "../domain/Grant.ts"
import * as AppModel from "../domain/App.ts"
import * as MailModel from "../domain/Mail.ts"
import * as RunModel from "../domain/Run.ts"
import * as TagPolicyModel from "../domain/TagPolicy.ts"
import * as WebhookModel from "../domain/Webhook.ts"

export const Account = AccountModel.Account.annotate({ identifier: "Account" })
export const ApiKey = ApiKeyModel.ApiKey.annotate({ identifier: "ApiKey" })
export const App = AppModel.App.annotate({ identifier: "App" })
export const Grant = GrantModel.Grant.annotate({ identifier: "Grant" })
export const MailboxOutcome = GrantModel.MailboxOutcome.annotate({ identifier: "MailboxOutcome" })
export const TenantMailbox = GrantModel.TenantMailbox.annotate({ identifier: "TenantMailbox" })
export const Run = RunModel.Run.annotate({ identifier: "Run" })
export const RunItem = RunModel.RunItem.annotate({ identifier: "RunItem" })
export const Folder = MailModel.Folder.annotate({ identifier: "Folder" })
export const Message = MailModel.Message.annotate({ identifier: "Message" })
export const MessageWithBody = MailModel.MessageWithBody.annotate({ identifier: "MessageWithBody" })
export const Thread = MailModel.Thread.annotate({ identifier: "Thread" })
export const Event = EventModel.Event.annotate({ identifier: "Event" })
export const AuditEntry = AuditModel.AuditEntry.annotate({ identifier: "AuditEntry" })
export const AuditLink = AuditChainModel.AuditLink.annotate({ identifier: "AuditLink" })
export const AuditHead = AuditChainModel.AuditHead.annotate({ identifier: "AuditHead" })
export const Erasure = ErasureModel.Erasure.annotate({ identifier: "Erasure" })
export const Change = MailModel.Change.annotate({ identifier: "Change" })
export const ConnectSession = ConnectSessionModel.ConnectSession.annotate({ identifier: "ConnectSession" })
export const DeviceCode = ConnectSessionModel.DeviceCode.annotate({ identifier: "DeviceCode" })
export const TagPolicy = TagPolicyModel.TagPolicy.annotate({ identifier: "TagPolicy" })
export const Webhook = WebhookModel.Webhook.annotate({ identifier: "Webhook" })
export const WebhookDelivery = WebhookModel.WebhookDelivery.annotate({ identifier: "WebhookDelivery" })
export const DeliveryOutcome = WebhookModel.DeliveryOutcome.annotate({ identifier: "DeliveryOutcome" })
