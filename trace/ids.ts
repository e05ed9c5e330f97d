/** Sentinels of the id columns; 0 is a real id in every one of them. */
export const NO_DOMID = 0xffff;
export const NO_VCPU = 0xffff;
export const NO_CPU = 0xffff;
export const NO_PID = -1;

/** DOMID_IDLE: Xen's idle domain (xen/include/public/xen.h). */
export const DOMID_IDLE = 0x7fff;
/** Dom0, the control domain in which device models run. */
export const DOM0 = 0;
