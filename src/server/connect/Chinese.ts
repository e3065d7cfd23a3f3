import type { Texts } from "./Texts.ts"

export const chinese: Texts = {
  tag: "zh-Hans",
  name: "中文",
  languageLabel: "语言",
  signIn: {
    title: "连接您的邮箱",
    text: "您将前往 {provider} 登录，并允许本服务读取您的邮件。本服务不会看到您的密码。",
  },
  signInAs: "请以 {expected} 登录。",
  consent: {
    title: "为您的组织授予访问权限",
    text: "作为管理员，您将前往 {provider}，允许本服务读取您组织的邮箱。",
  },
  once: "此链接只能使用一次。如果中途取消，请索取新的链接。",
  go: "前往 {provider}",
  connected: { title: "您的邮箱已连接", text: "{email} 已连接。" },
  disabled: "本服务的运营者已停用此邮箱；在重新启用之前不会读取任何内容。",
  consented: { title: "已授予访问权限", text: "本服务现在可以读取您组织的邮箱。" },
  canClose: "您可以关闭此页面。",
  unusable: {
    unknown: { title: "此链接无效", text: "请检查您是否打开了完整的链接。" },
    used: { title: "此链接已被使用", text: "每个链接只能用于一次登录。" },
    expired: { title: "此链接已过期", text: "链接仅在短时间内有效。" },
    other_browser: {
      title: "此登录不是在这个浏览器中开始的",
      text: "登录必须在开始登录的同一浏览器中完成，并且需要允许使用 Cookie。未连接任何内容。",
    },
  },
  refused: {
    access_denied: {
      title: "未授予访问权限",
      text: "您没有在 {provider} 授予访问权限，或者取消了操作。未连接任何内容。",
    },
    wrong_person: {
      title: "登录的不是预期的账户",
      text: "您以 {actual} 登录，但应当登录的是 {expected}。未连接任何内容。",
    },
    permission_missing: {
      title: "缺少读取邮件的权限",
      text: "没有该权限就无法连接您的邮箱。请重新登录，并保留所有权限的勾选。",
    },
    consent_required: {
      title: "需要管理员先行同意",
      text: "在您的组织中，只有管理员可以允许此应用。请联系您的管理员，然后重新登录。",
    },
    account_blocked: {
      title: "您的组织阻止了访问",
      text: "您组织的策略或 {provider} 的锁定阻止了访问。请联系您的管理员。",
    },
    account_taken: {
      title: "此邮箱已经存在",
      text: "{actual} 的邮箱已通过其他方式读取。需要由本服务的运营者决定保留哪一个。",
    },
    account_gone: { title: "此邮箱已被移除", text: "本服务的运营者已在此期间将其移除。" },
    app_misconfigured: {
      title: "本服务的设置有误",
      text: "{provider} 拒绝的是应用，而不是您。请告知向您发送链接的人，他们可以在记录中找到原因。",
    },
    issuer_mismatch: {
      title: "答复来自其他来源",
      text: "该答复并非来自您应当登录的地方。为了您的安全，其中的任何内容都未被使用。",
    },
    no_address: {
      title: "无法读取您的邮箱地址",
      text: "{provider} 没有提供您的邮箱地址。请告知向您发送链接的人。",
    },
    no_refresh_token: {
      title: "缺少长期访问权限",
      text: "{provider} 只授予了临时访问权限。请重新登录，并保留所有权限的勾选。",
    },
    provider_unavailable: {
      title: "{provider} 没有响应",
      text: "该故障可能是暂时的。未连接任何内容。请几分钟后再试。",
    },
    sign_in_failed: {
      title: "登录未成功",
      text: "{provider} 没有确认此次登录。未连接任何内容。",
    },
  },
  newLink: "如需重试，请向发送链接的人索取新的链接。",
  sameLink: "如需重试，请再次打开该链接。",
  reference: "供运营者查询的编号：{reference}",
  onward: "前往 {host}",
  fault: { title: "出现了错误", text: "错误在我们这一方，并且已被记录。请使用新的链接重试。" },
}
